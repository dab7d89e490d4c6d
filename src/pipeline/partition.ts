/**
 * The life of one assigned input partition, from the group's hand to its return. Read `openPartition` first: the order in it
 * is what makes a hand-over exactly once.
 */
import type { Logger } from 'pino';
import { abortable, aborted, pause } from '../abortable.ts';
import { offsetMetadata, ringEpochOf } from '../coordination/ring-epoch.ts';
import type { AssignedPartition, CommitOutcome, CorruptBatch, KafkaPort, TransactionalSink } from '../kafka/port.ts';
import type { SplitKernel } from '../kernels/split/kernel.ts';
import type { Names } from '../names.ts';
import { mayPass, transactCorruptBatch } from './corrupt-batch.ts';
import { pollsAhead, type SplitPoll } from './polls-ahead.ts';
import { stageMarkers } from './ring-marker.ts';
import type { RingSource } from './ring-source.ts';
import { type Committed, type TransactSettings, transactPoll } from './transact.ts';

/** How often a partition that stands still looks for a new ring epoch. */
const STANDING_CHECK_MS = 500;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;

export const STOP_REASONS = ['lost-offset', 'corrupt-batch'] as const;

export interface PartitionDeps {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly kernel: SplitKernel;
  readonly settings: TransactSettings;
  readonly transactionTimeoutMs: number;
  /** 'stop': a lost offset stops the partition until the operator chooses. */
  readonly onLostOffset: 'stop' | 'earliest';
  readonly onCorruptBatch: 'dead-letter' | 'stop';
  readonly log: Logger;
  readonly rings: RingSource;
  onCommitted(committed: Committed): void;
  onPollDone(outcome: CommitOutcome['kind'], seconds: number): void;
  onCorruptBatchPassed(): void;
  onStopped(reason: (typeof STOP_REASONS)[number]): void;
}

/** Resolves when the partition is given back. */
export async function runPartition(partition: AssignedPartition, deps: PartitionDeps): Promise<void> {
  const log = deps.log.child({ topic: partition.topic, partition: partition.partition });
  let backoffMs = FIRST_BACKOFF_MS;
  while (!partition.signal.aborted) {
    let ended: CommitOutcome | { kind: 'returned' };
    try {
      ended = await workUntilTrouble(partition, deps, log, () => {
        backoffMs = FIRST_BACKOFF_MS;
      });
    } catch (error) {
      // The signal's own abort surfaces here from whatever was being awaited.
      if (partition.signal.aborted) return;
      ended = { kind: 'reopen', cause: error as Error };
    }
    if (ended.kind === 'returned' || partition.signal.aborted) return;
    if (ended.kind === 'committed') continue;
    log.warn({ outcome: ended.kind, cause: ended.cause.message }, 'no commit, opening the partition anew');
    await pause(backoffMs, partition.signal);
    backoffMs = Math.min(backoffMs * 2, LONGEST_BACKOFF_MS);
    if (!(await mayReopen(partition)) && !partition.signal.aborted) {
      log.warn('the group has given the partition to another member, leaving it');
      await aborted(partition.signal);
    }
  }
}

/**
 * A member that was paused and woke up late must not fence the rightful owner: the group decides who may reopen, and is
 * asked until it answers.
 */
async function mayReopen(partition: AssignedPartition): Promise<boolean> {
  while (!partition.signal.aborted) {
    try {
      return await partition.confirm();
    } catch {
      // No coordinator to be reached: membership reports that trouble itself, here it only means "not yet".
      await pause(FIRST_BACKOFF_MS, partition.signal);
    }
  }
  return true;
}

/** An input partition that this process may write the outcome of. */
interface OpenPartition {
  readonly assigned: AssignedPartition;
  readonly sink: TransactionalSink;
  /**
   * Newest ring epoch that this partition has acknowledged: in the metadata of its committed offset, or, without an offset, the
   * epoch in force, which needs no acknowledgement any more.
   */
  adopted: number;
}

/** Polls and commits until the partition is given back or a transaction is not committed. */
async function workUntilTrouble(
  assigned: AssignedPartition,
  deps: PartitionDeps,
  log: Logger,
  onProgress: () => void,
): Promise<CommitOutcome | { kind: 'returned' }> {
  const open = await openPartition(assigned, deps);
  const polls = pollsAhead(assigned, deps.kernel, deps.rings, deps.settings);
  try {
    while (!assigned.signal.aborted) {
      const next = await polls.next();
      if (next.kind === 'ended') return { kind: 'returned' };
      let outcome: CommitOutcome;
      if (next.kind === 'poll') outcome = await writePoll(next, open, deps, polls.begin);
      else if (next.kind === 'idle') outcome = await adoptIdle(open, deps);
      else if (next.kind === 'out-of-range') outcome = await standOrSkip(open, next, deps, log);
      else outcome = await standOrPass(open, next.batch, deps, log);
      if (outcome.kind !== 'committed') return outcome;
      if (next.kind === 'poll') onProgress();
    }
    return { kind: 'returned' };
  } finally {
    // What was split ahead of a transaction that failed goes with it: it is read anew from the committed offset.
    await Promise.all([open.sink.close(), polls.close()]);
  }
}

/**
 * InitProducerId first: from here no predecessor can commit, and its open transaction is aborted. THEN the committed offset:
 * read before, it could still move. Then the control log, at least as far as the ring epoch that the offset was written under.
 */
async function openPartition(
  assigned: AssignedPartition,
  { port, names, transactionTimeoutMs, rings }: PartitionDeps,
): Promise<OpenPartition> {
  const { topic, partition, signal } = assigned;
  // Whatever is waited for here ends with the signal: a partition that cannot be opened must not hold up a rebalance.
  const sink = await port.openSink({
    fencingKey: names.processorKey(topic, partition),
    groupId: names.processGroup,
    tenure: assigned,
    transactionTimeoutMs,
    signal,
  });
  try {
    const committed = port.admin.committedOffset(names.processGroup, { topic, partition });
    const { offset, metadata } = await abortable(committed, signal);
    await assigned.seek(offset ?? 'earliest');
    const writtenUnder = ringEpochOf(metadata);
    await rings.reach(writtenUnder, signal);
    return { assigned, sink, adopted: writtenUnder ?? rings.activeEpoch };
  } catch (error) {
    await sink.close();
    throw error;
  }
}

/** `onLast` is called while the last transaction is under way. */
async function writePoll(
  { poll, first, since }: SplitPoll,
  open: OpenPartition,
  { kernel, names, settings, onCommitted, onPollDone }: PartitionDeps,
  onLast: () => void,
): Promise<CommitOutcome> {
  const { assigned, sink, adopted } = open;
  const { ring } = first;
  if (ring.epoch > adopted) stageMarkers(sink, names, settings.signal, ring, assigned, poll.offset(0));
  const outcome = await transactPoll(poll, first, sink, kernel, settings, onCommitted, onLast);
  onPollDone(outcome.kind, (performance.now() - since) / 1e3);
  if (outcome.kind === 'committed') open.adopted = ring.epoch;
  return outcome;
}

/** Acknowledges a new ring epoch for a partition without records: the leader waits for it as for any other. */
async function adoptIdle(open: OpenPartition, { rings, names, settings }: PartitionDeps): Promise<CommitOutcome> {
  const { assigned, sink } = open;
  const ring = rings.newest;
  if (ring.epoch === open.adopted) return { kind: 'committed' };
  const { topic, partition, position } = assigned;
  stageMarkers(sink, names, settings.signal, ring, assigned, position);
  const outcome = await sink.commit([{ topic, partition, offset: position, metadata: offsetMetadata(ring.epoch) }]);
  if (outcome.kind === 'committed') open.adopted = ring.epoch;
  return outcome;
}

/** The committed offset is outside the log: stands still, or goes on at the earliest record if so configured. */
async function standOrSkip(
  open: OpenPartition,
  lost: { position: bigint; earliest: bigint; latest: bigint },
  deps: PartitionDeps,
  log: Logger,
): Promise<CommitOutcome> {
  const { assigned } = open;
  const { position, earliest, latest } = lost;
  const gone = position < earliest ? `records ${position} to ${earliest - 1n} are gone` : `the log ends at ${latest}`;
  if (deps.onLostOffset === 'earliest') {
    log.error({ code: 'OFFSET_LOST', position, earliest, latest }, `${gone}; going on at ${earliest} as configured`);
    await assigned.seek('earliest');
    return { kind: 'committed' };
  }
  deps.onStopped('lost-offset');
  log.error(
    { code: 'OFFSET_LOST', position, earliest, latest },
    `committed offset ${position} is not in the log: ${gone}. The partition stands still; to go on with what is there, ` +
      'restart with poll.onLostOffset: earliest',
  );
  return standStill(open, deps);
}

/** Waits until the partition is given back, but goes on acknowledging ring epochs: it must not hold up every change of the ring. */
async function standStill(open: OpenPartition, deps: PartitionDeps): Promise<CommitOutcome> {
  const { signal } = open.assigned;
  while (!signal.aborted) {
    const outcome = await adoptIdle(open, deps);
    if (outcome.kind !== 'committed') return outcome;
    await pause(STANDING_CHECK_MS, signal);
  }
  return { kind: 'committed' };
}

/** A record batch cannot be read: stands still, or puts its bytes into the dead letter topic and goes on behind it. */
async function standOrPass(
  open: OpenPartition,
  batch: CorruptBatch,
  deps: PartitionDeps,
  log: Logger,
): Promise<CommitOutcome> {
  const { assigned, sink, adopted } = open;
  const { onCorruptBatch, names, settings, onStopped, onCorruptBatchPassed } = deps;
  const { nextOffset } = batch;
  if (!mayPass(assigned, batch, onCorruptBatch, names, log) || nextOffset === null) {
    onStopped('corrupt-batch');
    return standStill(open, deps);
  }
  // Routes nothing: the next poll adopts what there is to adopt.
  const outcome = await transactCorruptBatch(assigned, { ...batch, nextOffset }, sink, adopted, settings);
  if (outcome.kind !== 'committed') return outcome;
  onCorruptBatchPassed();
  await assigned.seek(nextOffset);
  return outcome;
}
