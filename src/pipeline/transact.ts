/**
 * A poll, split and written: the part between a poll in hand and the outcome of its transactions. One poll is one
 * transaction unless a bound (output bytes, header groups) cuts it into several. Splitting needs no transaction: the first part of
 * a poll is split while the poll before it is being committed.
 */
import { offsetMetadata } from '../coordination/ring-epoch.ts';
import type { CommitOutcome, Headers, Poll, TransactionalSink } from '../kafka/port.ts';
import { RECORD_STATUS, type SplitAggregates, type SplitKernel, type SplitResult } from '../kernels/split/kernel.ts';
import type { Names } from '../names.ts';
import type { Signal } from '../signals.ts';
import { type DeadLetterReason, deadLetter } from './dead-letter.ts';
import { groupByKeptHeaders, headerBytes } from './kept-headers.ts';
import { header, sourcesOf } from './record-headers.ts';
import type { PollRing } from './ring-source.ts';

/** Bytes of a record beside its value that count against `max.message.bytes`: batch header, lengths, Weir's own headers. */
export const RECORD_OVERHEAD_BYTES = 2_048;
/** Small polls may write as much as a poll of this size, not more, so that many of them can be in flight; a record that needs more gets more. */
const SMALL_OUTPUT_BYTES = 1024 * 1024;

export interface TransactSettings {
  readonly signal: Signal;
  readonly names: Names;
  readonly keepHeaders: readonly string[];
  /** `poll.maxBytes` and `poll.maxOutputRatio` of the configuration. */
  readonly maxPollBytes: number;
  readonly maxOutputRatio: number;
  /** `max.message.bytes` of the shard topics and of the dead letter topic. */
  readonly maxShardMessageBytes: number;
  readonly maxDeadLetterMessageBytes: number;
}

/** What one committed transaction did. */
export interface Committed {
  readonly records: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly aggregates: SplitAggregates;
  readonly deadLetters: readonly DeadLetterReason[];
  readonly nextOffset: bigint;
}

/** The records of a poll that go into one transaction, split but not written yet. Holds memory of the kernel until `result` is released. */
export interface SplitPart {
  /** Records [from, to) of the poll. */
  readonly from: number;
  readonly to: number;
  readonly ring: PollRing;
  readonly result: SplitResult;
  readonly bytesIn: number;
  /** Kept headers of each group. */
  readonly headers: readonly Headers[];
}

/**
 * Writes the poll through the sink, all of it under the ring epoch of its first part. `onCommitted` is called for each
 * transaction; the first outcome that is not `committed` ends it. Releases the parts, and the poll as soon as nothing reads it
 * any more. `onLast` is called once, while the last transaction is under way.
 */
export async function transactPoll(
  poll: Poll,
  first: SplitPart,
  sink: TransactionalSink,
  kernel: SplitKernel,
  settings: TransactSettings,
  onCommitted: (committed: Committed) => void,
  onLast: () => void,
): Promise<CommitOutcome> {
  const { topic, partition, count } = poll;
  try {
    for (let part = first; ; part = await splitPart(poll, part.to, kernel, first.ring, settings)) {
      const { from, to, ring, result, bytesIn } = part;
      try {
        const nextOffset = to === count ? poll.nextOffset : poll.offset(to);
        const bytesOut = stageOutputs(poll, part, sink, settings);
        const deadLetters = stageDeadLetters(poll, from, result, sink, settings);
        const committing = sink.commit([
          { topic, partition, offset: nextOffset, metadata: offsetMetadata(ring.epoch) },
        ]);
        if (to === count) {
          // Only dead letters are views of it. Held longer, it would keep the next polls of its partition from being fetched.
          if (deadLetters.length === 0) poll.release();
          onLast();
        }
        const outcome = await committing;
        if (outcome.kind !== 'committed') return outcome;
        const { aggregates } = result;
        onCommitted({ records: result.taken, bytesIn, bytesOut, aggregates, deadLetters, nextOffset });
        if (to === count) return outcome;
      } finally {
        // Only here: the sink reads the outputs until the outcome is known.
        result.release();
      }
    }
  } finally {
    poll.release();
  }
}

/** As many records from `from` on as one transaction takes. */
export async function splitPart(
  poll: Poll,
  from: number,
  kernel: SplitKernel,
  ring: PollRing,
  settings: TransactSettings,
): Promise<SplitPart> {
  const { count, groups, headers } = groupByKeptHeaders(poll, from, settings.keepHeaders);
  const values = Array.from({ length: count }, (_, i) => poll.value(from + i));
  const inputBytes = values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
  const maxRecordBytes =
    settings.maxShardMessageBytes - RECORD_OVERHEAD_BYTES - Math.max(...headers.map((group) => headerBytes(group)));
  const input = { values, groups };
  const { signal, maxOutputRatio } = settings;
  const routing = ring.routing[signal];
  const limits = { maxRecordBytes, maxOutputBytes: maxOutputRatio * Math.max(inputBytes, SMALL_OUTPUT_BYTES) };
  let result = await kernel.split(signal, input, limits, routing);
  if (result.statuses[0] === RECORD_STATUS.output_too_large && inputBytes < settings.maxPollBytes) {
    // Small, but with a resource that many shards repeat: the bound is there for memory, not to punish it.
    result.release();
    limits.maxOutputBytes = maxOutputRatio * settings.maxPollBytes;
    result = await kernel.split(signal, input, limits, routing);
  }
  const bytesIn = values.slice(0, result.taken).reduce((sum, value) => sum + (value?.length ?? 0), 0);
  return { from, to: from + result.taken, ring, result, bytesIn, headers };
}

function stageOutputs(
  poll: Poll,
  { from, to, ring, result, headers: kept }: SplitPart,
  sink: TransactionalSink,
  { names, signal }: TransactSettings,
): number {
  if (result.outputs.length === 0) return 0;
  const own: Headers = [
    header('weir-ring-epoch', ring.epoch),
    header('weir-source', sourcesOf(poll, poll.offset(from), poll.offset(to - 1))),
  ];
  const headersOf = kept.map((headers) => (headers.length === 0 ? own : [...own, ...headers]));
  let bytes = 0;
  for (const { shard, group, value } of result.outputs) {
    sink.stage(names.shard(signal, shard), 0, value, headersOf[group]);
    bytes += value.length;
  }
  return bytes;
}

function stageDeadLetters(
  poll: Poll,
  from: number,
  result: SplitResult,
  sink: TransactionalSink,
  { names, maxDeadLetterMessageBytes }: TransactSettings,
): DeadLetterReason[] {
  const reasons: DeadLetterReason[] = [];
  result.statuses.forEach((status, i) => {
    if (status === RECORD_STATUS.ok) return;
    const letter = deadLetter(poll, from + i, status, maxDeadLetterMessageBytes - RECORD_OVERHEAD_BYTES);
    sink.stage(names.deadLetter, 0, letter.value, letter.headers);
    reasons.push(letter.reason);
  });
  return reasons;
}
