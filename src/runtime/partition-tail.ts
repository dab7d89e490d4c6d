/** Reads one partition from near its end and goes on reading. For what is shown and decided on, not for what must be complete. */
import { passCorrupt } from '../kafka/pass-corrupt.ts';
import type { KafkaPort, Poll, TopicPartition } from '../kafka/port.ts';

/** How long one poll waits. Only `close()` notices. */
const POLL_WAIT_MS = 500;

export interface PartitionTail {
  /** Next offset to be read. */
  readonly position: bigint;
  /** Rejects when reading turns out to be impossible; resolves after `close()`. */
  readonly done: Promise<void>;
  close(): Promise<void>;
}

/**
 * Calls `onPoll` with each poll from `recordsBack` offsets before the end; the lease ends when it returns. Resolves once all
 * that was there at the call has been handed over. What retention takes away under the reader, and
 * what cannot be read, is skipped.
 */
export async function tailPartition(
  port: KafkaPort,
  at: TopicPartition,
  recordsBack: number,
  onPoll: (poll: Poll) => void,
): Promise<PartitionTail> {
  const offsets = (await port.admin.offsets(at.topic)).find(({ partition }) => partition === at.partition);
  const { earliest, latest } = offsets ?? { earliest: 0n, latest: 0n };
  const start = latest - BigInt(recordsBack);
  const reader = port.reader(at, { isolation: 'read_committed' });
  const caughtUp = Promise.withResolvers<void>();

  async function run(): Promise<void> {
    await reader.seek(start > earliest ? start : earliest);
    for (;;) {
      if (reader.position >= latest) caughtUp.resolve();
      const outcome = await reader.poll(POLL_WAIT_MS);
      if (outcome.kind === 'ended') return;
      if (outcome.kind === 'out-of-range') await reader.seek('earliest');
      if (outcome.kind === 'corrupt') await passCorrupt(reader, outcome.batch);
      if (outcome.kind === 'poll')
        try {
          onPoll(outcome.poll);
        } finally {
          outcome.poll.release();
        }
    }
  }

  const done = run();
  try {
    await Promise.race([caughtUp.promise, done]);
  } catch (error) {
    await reader.close();
    throw error;
  }
  // Whoever cares awaits `done`; for others a failure shows in figures that stand still.
  done.catch(() => {});
  return {
    get position() {
      return reader.position;
    },
    done,
    async close() {
      await reader.close();
      await done.catch(() => {});
    },
  };
}
