/**
 * The life of one assigned input partition, from the group's hand to its return. Read `openPartition` first: the order in it
 * is what makes a hand-over exactly once.
 */
import type { Logger } from 'pino';
import { abortable, aborted, pause } from '../abortable.ts';
import type { AssignedPartition, CommitOutcome, CorruptBatch, KafkaPort, TransactionalSink } from '../kafka/port.ts';
import type { SplitKernel } from '../kernels/split/kernel.ts';
import type { Names } from '../names.ts';
import { mayPass, transactCorruptBatch } from './corrupt-batch.ts';
import { type Committed, ringEpochOf, type TransactSettings, transactPoll } from './transact.ts';

/** How long a poll waits for records. */
const IDLE_WAIT_MS = 500;
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
  /** Resolves with the ring epoch to route by, once the control log is folded at least up to `atLeast`. */
  ringEpoch(atLeast: number, signal: AbortSignal): Promise<number>;
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

/** Polls and commits until the partition is returned or a transaction ends otherwise than committed. */
async function workUntilTrouble(
  partition: AssignedPartition,
  deps: PartitionDeps,
  log: Logger,
  onProgress: () => void,
): Promise<CommitOutcome | { kind: 'returned' }> {
  const { sink, ringEpoch } = await openPartition(partition, deps);
  try {
    while (!partition.signal.aborted) {
      const polled = await partition.poll(IDLE_WAIT_MS);
      if (polled.kind === 'ended') return { kind: 'returned' };
      if (polled.kind === 'idle') continue;
      if (polled.kind === 'out-of-range') {
        await standOrSkip(partition, polled, deps, log);
        continue;
      }
      if (polled.kind === 'corrupt') {
        const outcome = await standOrPass(partition, polled.batch, sink, ringEpoch, deps, log);
        if (outcome.kind !== 'committed') return outcome;
        continue;
      }
      const { poll } = polled;
      const startedAt = performance.now();
      try {
        if (poll.count === 0) continue;
        const outcome = await transactPoll(poll, sink, deps.kernel, ringEpoch, deps.settings, deps.onCommitted);
        deps.onPollDone(outcome.kind, (performance.now() - startedAt) / 1e3);
        if (outcome.kind !== 'committed') return outcome;
        onProgress();
      } finally {
        poll.release();
      }
    }
    return { kind: 'returned' };
  } finally {
    await sink.close();
  }
}

/**
 * InitProducerId first: from here no predecessor can commit, and its open transaction is aborted. THEN the committed offset:
 * read before, it could still move. Then the control log, at least as far as the epoch that the offset was written under.
 */
async function openPartition(
  assigned: AssignedPartition,
  { port, names, transactionTimeoutMs, ringEpoch }: PartitionDeps,
): Promise<{ sink: TransactionalSink; ringEpoch: number }> {
  const { topic, partition, signal } = assigned;
  // Whatever is waited for here ends with the signal: a partition that cannot be opened must not hold up a rebalance.
  const sink = await port.openSink({
    fencingKey: names.processorKey(topic, partition),
    groupId: names.processGroup,
    transactionTimeoutMs,
    signal,
  });
  try {
    const committed = port.admin.committedOffset(names.processGroup, { topic, partition });
    const { offset, metadata } = await abortable(committed, signal);
    await assigned.seek(offset ?? 'earliest');
    const writtenUnder = ringEpochOf(metadata) ?? 0;
    return { sink, ringEpoch: await ringEpoch(writtenUnder, signal) };
  } catch (error) {
    await sink.close();
    throw error;
  }
}

async function standOrSkip(
  partition: AssignedPartition,
  lost: { position: bigint; earliest: bigint; latest: bigint },
  deps: PartitionDeps,
  log: Logger,
): Promise<void> {
  const { position, earliest, latest } = lost;
  const gone = position < earliest ? `records ${position} to ${earliest - 1n} are gone` : `the log ends at ${latest}`;
  if (deps.onLostOffset === 'earliest') {
    log.error({ code: 'OFFSET_LOST', position, earliest, latest }, `${gone}; going on at ${earliest} as configured`);
    await partition.seek('earliest');
    return;
  }
  deps.onStopped('lost-offset');
  log.error(
    { code: 'OFFSET_LOST', position, earliest, latest },
    `committed offset ${position} is not in the log: ${gone}. The partition stands still; to go on with what is there, ` +
      'restart with poll.onLostOffset: earliest',
  );
  await aborted(partition.signal);
}

async function standOrPass(
  partition: AssignedPartition,
  batch: CorruptBatch,
  sink: TransactionalSink,
  ringEpoch: number,
  { onCorruptBatch, names, settings, onStopped, onCorruptBatchPassed }: PartitionDeps,
  log: Logger,
): Promise<CommitOutcome> {
  const { nextOffset } = batch;
  if (!mayPass(partition, batch, onCorruptBatch, names, log) || nextOffset === null) {
    onStopped('corrupt-batch');
    await aborted(partition.signal);
    return { kind: 'committed' };
  }
  const outcome = await transactCorruptBatch(partition, { ...batch, nextOffset }, sink, ringEpoch, settings);
  if (outcome.kind !== 'committed') return outcome;
  onCorruptBatchPassed();
  await partition.seek(nextOffset);
  return outcome;
}
