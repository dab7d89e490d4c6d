/** Reads all shard topics of a signal and counts every item by its span id, with an independent decoder. */
import type { FetchOptions, KafkaPort } from '../../src/kafka/port.ts';
import type { Names } from '../../src/names.ts';
import type { Signal } from '../../src/signals.ts';
import { decodeItems } from './otlp-schema.ts';

export interface Census {
  /** Span id (hex) -> how often it was seen. */
  readonly spans: ReadonlyMap<string, number>;
  /** Trace id (hex) -> shards that hold spans of it. */
  readonly traces: ReadonlyMap<string, ReadonlySet<number>>;
  readonly items: number;
  readonly records: number;
}

export async function takeCensus(
  port: KafkaPort,
  names: Names,
  signal: Signal,
  shards: number,
  isolation: NonNullable<FetchOptions['isolation']> = 'read_committed',
): Promise<Census> {
  const spans = new Map<string, number>();
  const traces = new Map<string, Set<number>>();
  let items = 0;
  let records = 0;
  for (let shard = 0; shard < shards; shard++) {
    for await (const value of valuesOf(port, names.shard(signal, shard), isolation)) {
      records++;
      if (value === null || value.length === 0) continue;
      for (const { spanId, traceId } of decodeItems(signal, value)) {
        items++;
        spans.set(spanId, (spans.get(spanId) ?? 0) + 1);
        const seen = traces.get(traceId);
        if (seen) seen.add(shard);
        else traces.set(traceId, new Set([shard]));
      }
    }
  }
  return { spans, traces, items, records };
}

/**
 * Where a partition ends, open transactions included. Kafka answers a commit some ms before its markers are in all partitions, so who reads
 * committed records up to here also reads those of the commit that was answered last.
 */
export async function endOf(port: KafkaPort, topic: string, partition = 0): Promise<bigint> {
  const reader = port.reader({ topic, partition }, { isolation: 'read_uncommitted' });
  try {
    await reader.seek('latest');
    return reader.position;
  } finally {
    await reader.close();
  }
}

/** All values of a partition, from the earliest record to the end as it is now. */
export async function* valuesOf(
  port: KafkaPort,
  topic: string,
  isolation: NonNullable<FetchOptions['isolation']> = 'read_committed',
  partition = 0,
) {
  for await (const { value } of recordsOf(port, topic, isolation, partition)) yield value;
}

/** The same with offset, time and headers. Views, valid until the next one. */
export async function* recordsOf(
  port: KafkaPort,
  topic: string,
  isolation: NonNullable<FetchOptions['isolation']> = 'read_committed',
  partition = 0,
) {
  const end = await endOf(port, topic, partition);
  const reader = port.reader({ topic, partition }, { isolation });
  try {
    await reader.seek('earliest');
    while (reader.position < end) {
      const outcome = await reader.poll(1_000);
      if (outcome.kind !== 'poll') continue;
      const { poll } = outcome;
      for (let i = 0; i < poll.count; i++)
        yield {
          ...{ offset: poll.offset(i), timestampMs: poll.timestampMs(i) },
          ...{ value: poll.value(i), headers: poll.headers(i) },
        };
      poll.release();
    }
  } finally {
    await reader.close();
  }
}
