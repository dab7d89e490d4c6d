/**
 * Marker records: where in a shard topic a source partition's data begins to follow a new ring epoch. An empty value is a valid, empty request,
 * so readers that know nothing of markers pass over it.
 */
import type { Headers, TopicPartition, TransactionalSink } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import type { Signal } from '../signals.ts';
import { header, sourceOf } from './record-headers.ts';
import type { PollRing } from './ring-source.ts';

const EMPTY = new Uint8Array(0);

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
    header('weir-marker', 'ring'),
    header('weir-ring-epoch', epoch),
    header('weir-source', sourceOf(source, from)),
  ];
  for (const shard of touched[signal]) sink.stage(names.shard(signal, shard), 0, EMPTY, headers);
}
