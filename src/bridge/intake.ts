/**
 * What both transports do with a request once they hold its body as protobuf: look at its outermost level, cut it if no
 * record could hold it, hand it to the batcher, and count and log what became of it.
 */
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Headers } from '../kafka/port.ts';
import type { Metrics } from '../metrics.ts';
import type { Signal } from '../signals.ts';
import { type Batcher, maxValueBytes, type SubmitOutcome } from './batcher.ts';
import { type Refusal, type RefusalReason, refusal } from './refusal.ts';
import { createRefusalLog } from './refusal-log.ts';
import { cutRequest, faultOf, firstResource, orderHash } from './request-frames.ts';

/** Named as in OTEL_EXPORTER_OTLP_PROTOCOL. */
export type Transport = 'grpc' | 'http/protobuf' | 'http/json';

export interface IncomingRequest {
  readonly signal: Signal;
  readonly transport: Transport;
  /** Protobuf, decompressed. Nobody changes it from here on. */
  readonly body: Uint8Array;
  /** Value of a header (or gRPC metadata) by its lower-case name, several joined by ", ". */
  readonly header: (name: string) => Uint8Array | undefined;
  /** True once the exporter has gone away. */
  readonly abandoned: () => boolean;
}

export interface Intake {
  /** null: Kafka has stored it. */
  accept(request: IncomingRequest): Promise<Refusal | null>;
  /** Why no request would be taken now, whatever it holds; null when it may be read. */
  turnedAway(signal: Signal, transport: Transport, bytes: number): Refusal | null;
  /** Counts and logs a refusal that the transport itself makes. */
  refuse(signal: Signal | null, transport: Transport, reason: RefusalReason, message: string): Refusal;
  /** As `refuse`, for an error that nobody expects: the log has it whole, the exporter only hears of it. */
  bug(signal: Signal | null, transport: Transport, error: unknown): Refusal;
  /** From now on every request is refused. */
  stop(): void;
}

/** Of the value of a kept header. A longer one is refused, as a cut one could be another tenant's. */
const MAX_HEADER_BYTES = 256;

export function createIntake({
  config,
  batcher,
  metrics,
  log,
}: {
  config: Config;
  batcher: Batcher;
  metrics: Metrics;
  log: Logger;
}): Intake {
  const refusals = createRefusalLog(log);
  const { maxMessageBytes } = config.topics;
  let stopped = false;

  const refuse: Intake['refuse'] = (signal, transport, reason, message) => {
    metrics.bridgeRequests.inc({ signal: signal ?? 'none', transport, outcome: reason });
    refusals.note({ signal, transport, reason, message });
    return refusal(reason, message);
  };

  const turnedAway: Intake['turnedAway'] = (signal, transport, bytes) => {
    if (stopped) return refuse(signal, transport, 'closing', 'the bridge is shutting down; send to another one');
    if (batcher.hasRoomFor(bytes)) return null;
    return refuse(
      signal,
      transport,
      'queue_full',
      `${batcher.queuedBytes} bytes wait for Kafka, and bridge.queueBytes is ${config.bridge.queueBytes}`,
    );
  };

  function keptHeaders(header: IncomingRequest['header']): Headers | string {
    const kept: [string, Uint8Array][] = [];
    for (const name of config.routing.keepHeaders) {
      const value = header(name.toLowerCase());
      if (value === undefined || value.length === 0) continue;
      if (value.length > MAX_HEADER_BYTES)
        return `header "${name}" has ${value.length} bytes; at most ${MAX_HEADER_BYTES} are taken`;
      kept.push([name, value]);
    }
    return kept;
  }

  async function accept(request: IncomingRequest): Promise<Refusal | null> {
    const { signal, transport, body } = request;
    const startedAt = performance.now();
    const away = turnedAway(signal, transport, body.length);
    if (away) return away;
    const fault = faultOf(body);
    if (fault !== null) {
      return refuse(signal, transport, 'malformed', `the body is no OTLP ${signal} request: ${fault}`);
    }
    const headers = keptHeaders(request.header);
    if (typeof headers === 'string') return refuse(signal, transport, 'header_too_long', headers);
    const limit = maxValueBytes(maxMessageBytes, headers);
    const cut = cutRequest(body, limit);
    if (cut.kind === 'too-large') {
      return refuse(
        signal,
        transport,
        'too_large',
        `one resource of the request has ${cut.bytes} bytes with its items, and a Kafka record takes ${limit} ` +
          `(topics.maxMessageBytes is ${maxMessageBytes}): send smaller batches, or raise topics.maxMessageBytes`,
      );
    }
    // An empty request is valid and holds nothing: it succeeds without a record.
    const pieces = body.length === 0 ? [] : cut.pieces;
    const hash = signal === 'traces' ? 0 : orderHash(firstResource(body));
    const outcome = await batcher.submit({ signal, pieces, headers, orderHash: hash, abandoned: request.abandoned });
    if (outcome.kind !== 'stored') return refuseOutcome(request, outcome);
    metrics.bridgeRequests.inc({ signal, transport, outcome: 'ok' });
    metrics.bridgeBytes.inc({ signal, transport }, body.length);
    if (pieces.length > 0) metrics.bridgeAckSeconds.observe({ signal }, (performance.now() - startedAt) / 1_000);
    return null;
  }

  function refuseOutcome(
    { signal, transport, body }: IncomingRequest,
    outcome: Exclude<SubmitOutcome, { kind: 'stored' }>,
  ): Refusal {
    switch (outcome.kind) {
      case 'full':
        return refuse(
          signal,
          transport,
          'queue_full',
          `${batcher.queuedBytes} bytes wait for Kafka, ${body.length} more would exceed bridge.queueBytes (${config.bridge.queueBytes})`,
        );
      case 'closing':
        return refuse(signal, transport, 'closing', 'the bridge is shutting down; send to another one');
      case 'abandoned':
        return refuse(signal, transport, 'abandoned', 'the exporter went away before the request was sent to Kafka');
      case 'unknown':
        return refuse(signal, transport, 'kafka_unknown', `Kafka has not acknowledged: ${outcome.cause.message}`);
      case 'refused':
        if (isTooLarge(outcome.cause)) {
          return refuse(
            signal,
            transport,
            'too_large',
            `Kafka finds the request too large (${body.length} bytes): its topic's max.message.bytes is below ` +
              `topics.maxMessageBytes (${maxMessageBytes}); make them equal`,
          );
        }
        return refuse(signal, transport, 'kafka_refused', `Kafka refuses the request: ${outcome.cause.message}`);
    }
  }

  return {
    accept,
    turnedAway,
    refuse,
    bug(signal, transport, error) {
      log.error({ err: error, signal, transport }, 'a request met a bug of the bridge');
      return refuse(signal, transport, 'internal', 'the request met a bug of the bridge, whose log has more');
    },
    stop() {
      stopped = true;
    },
  };
}

/** By the protocol's name of the error (MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE) or its text. */
function isTooLarge(cause: Error): boolean {
  const type = 'type' in cause ? String(cause.type) : '';
  return /too.?large|larger than/i.test(`${type} ${cause.message}`);
}
