/**
 * Marker records: where in a shard topic a source partition's data begins to follow a new ring epoch. An empty value is a valid, empty request,
 * so readers that know nothing of markers pass over it.
 */
import type { Headers, TopicPartition, TransactionalSink } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import type { Signal } from '../signals.ts';
import type { PollRing } from './ring-source.ts';

const EMPTY = new Uint8Array(0);
const text = new TextEncoder();

/** To each shard that loses or gains by the epoch. `from`: the source's first offset that follows it. */
export function stageMarkers(
  sink: TransactionalSink,
  names: Names,
  signal: Signal,
  { epoch, touched }: PollRing,
  source: TopicPartition,
  from: bigint,
): void {
  const headers: Headers = [
    ['weir-marker', text.encode('ring')],
    ['weir-ring-epoch', text.encode(String(epoch))],
    ['weir-source', text.encode(`${source.topic}/${source.partition}/${from}`)],
  ];
  for (const shard of touched[signal]) sink.stage(names.shard(signal, shard), 0, EMPTY, headers);
}
