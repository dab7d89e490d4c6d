/** What an exporter is told of a request that was accepted: all of it, or all but some items that no record can hold. */
import { ProtobufWriter } from '../protobuf/writer.ts';
import type { Signal } from '../signals.ts';

export interface PartialSuccess {
  readonly signal: Signal;
  /** Spans, data points or log records. */
  readonly rejected: number;
  readonly message: string;
}

/**
 * Export*ServiceResponse  1 partial_success
 * Export*PartialSuccess   1 rejected_spans | rejected_data_points | rejected_log_records int64 · 2 error_message string
 */
export function responseToProtobuf(partial: PartialSuccess | null): Buffer {
  if (partial === null) return EMPTY;
  const writer = new ProtobufWriter(512);
  writer.message(1, () => {
    writer.varint(1, partial.rejected);
    writer.string(2, partial.message);
  });
  return writer.finish();
}

const EMPTY = Buffer.alloc(0);

const REJECTED: Readonly<Record<Signal, string>> = {
  traces: 'rejectedSpans',
  metrics: 'rejectedDataPoints',
  logs: 'rejectedLogRecords',
};

export function responseToJson(partial: PartialSuccess | null): string {
  if (partial === null) return '{}';
  // An int64 is a string in protobuf's JSON mapping.
  const { signal, rejected, message } = partial;
  return JSON.stringify({ partialSuccess: { [REJECTED[signal]]: String(rejected), errorMessage: message } });
}
