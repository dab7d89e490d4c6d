/**
 * Why a request was not taken, and how each transport says so. Exporters act on it: UNAVAILABLE with RetryInfo and 503 with
 * Retry-After are tried again, everything else drops the data (https://opentelemetry.io/docs/specs/otlp/#failures).
 */
import { status as grpc } from '@grpc/grpc-js';
import { ProtobufWriter } from '../protobuf/writer.ts';

interface Answer {
  readonly grpc: number;
  readonly http: number;
  readonly retry: boolean;
}

export const REFUSALS = {
  /** Not what the content type says, or not an OTLP request. */
  malformed: { grpc: grpc.INVALID_ARGUMENT, http: 400, retry: false },
  /** A kept header is longer than a record header may be. */
  header_too_long: { grpc: grpc.INVALID_ARGUMENT, http: 400, retry: false },
  /** Over bridge.maxHeaderBytes. Of gRPC, HTTP/2 itself refuses the call. */
  headers_too_large: { grpc: grpc.RESOURCE_EXHAUSTED, http: 431, retry: false },
  /** No credentials, or none that are known. */
  unauthenticated: { grpc: grpc.UNAUTHENTICATED, http: 401, retry: false },
  /** gRPC's framing is broken: no message, two, or one that is cut off. */
  misframed: { grpc: grpc.INTERNAL, http: 400, retry: false },
  /** Over a limit that sending it again would not mend: no RetryInfo, as the specification demands. */
  too_large: { grpc: grpc.RESOURCE_EXHAUSTED, http: 413, retry: false },
  not_found: { grpc: grpc.UNIMPLEMENTED, http: 404, retry: false },
  wrong_method: { grpc: grpc.UNIMPLEMENTED, http: 405, retry: false },
  /** Content type or compression. */
  unsupported: { grpc: grpc.UNIMPLEMENTED, http: 415, retry: false },
  /** The request did not come whole within bridge.requestTimeoutMs, or the exporter's own deadline has passed. */
  timed_out: { grpc: grpc.DEADLINE_EXCEEDED, http: 408, retry: true },
  /** Kafka is slower than the exporters, and the queue between has reached its limit. */
  queue_full: { grpc: grpc.UNAVAILABLE, http: 503, retry: true },
  /** The bridge is shutting down. */
  closing: { grpc: grpc.UNAVAILABLE, http: 503, retry: true },
  /** Kafka will not take it, now or later. */
  kafka_refused: { grpc: grpc.INVALID_ARGUMENT, http: 400, retry: false },
  /** Kafka did not answer in time: it may or may not be stored. */
  kafka_unknown: { grpc: grpc.UNAVAILABLE, http: 503, retry: true },
  /** The exporter went away before its request was sent to Kafka. Nobody reads this answer. */
  abandoned: { grpc: grpc.CANCELLED, http: 499, retry: true },
  /** A bug in the bridge. */
  internal: { grpc: grpc.INTERNAL, http: 500, retry: false },
} as const satisfies Readonly<Record<string, Answer>>;

export type RefusalReason = keyof typeof REFUSALS;

export interface Refusal {
  readonly kind: 'refused';
  readonly reason: RefusalReason;
  /** For the exporter's log. Holds nothing of the payload. */
  readonly message: string;
  /** null: trying again cannot help. */
  readonly retryAfterMs: number | null;
}

const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';
const BAD_REQUEST = 'type.googleapis.com/google.rpc.BadRequest';
/** BadRequest names fields of the request; of a body it is the whole that could not be read, and the text says where. */
const BAD_FIELD = 'body';

export const isBadData = ({ reason }: Refusal): boolean => reason === 'malformed';

/**
 * google.rpc.Status      1 code int32 · 2 message string · 3 details repeated Any
 * google.protobuf.Any    1 type_url string · 2 value bytes
 * google.rpc.RetryInfo   1 retry_delay Duration
 * Duration               1 seconds int64 · 2 nanos int32
 * google.rpc.BadRequest  1 field_violations repeated { 1 field string · 2 description string }
 */
export function statusToProtobuf(refusal: Refusal): Buffer {
  const { reason, message, retryAfterMs } = refusal;
  const writer = new ProtobufWriter(256);
  writer.varint(1, REFUSALS[reason].grpc);
  writer.string(2, message);
  if (retryAfterMs !== null) {
    writer.message(3, () => {
      writer.string(1, RETRY_INFO);
      writer.bytes(2, retryInfo(retryAfterMs));
    });
  }
  if (isBadData(refusal)) {
    writer.message(3, () => {
      writer.string(1, BAD_REQUEST);
      writer.message(2, () => {
        writer.message(1, () => {
          writer.string(1, BAD_FIELD);
          writer.string(2, message);
        });
      });
    });
  }
  return writer.finish();
}

/** A google.rpc.RetryInfo. */
export function retryInfo(retryAfterMs: number): Buffer {
  const writer = new ProtobufWriter(32);
  writer.message(1, () => {
    writer.varint(1, Math.floor(retryAfterMs / 1_000));
    writer.varint(2, (retryAfterMs % 1_000) * 1_000_000);
  });
  return writer.finish();
}

export function statusToJson(refusal: Refusal): string {
  const { reason, message, retryAfterMs } = refusal;
  const details: object[] = [];
  if (retryAfterMs !== null) details.push({ '@type': RETRY_INFO, retryDelay: `${retryAfterMs / 1_000}s` });
  if (isBadData(refusal)) {
    details.push({ '@type': BAD_REQUEST, fieldViolations: [{ field: BAD_FIELD, description: message }] });
  }
  return JSON.stringify({ code: REFUSALS[reason].grpc, message, details });
}
