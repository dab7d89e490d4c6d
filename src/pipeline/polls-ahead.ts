/**
 * The polls of one partition, split one ahead: the kernel works on the next poll while the transaction of the one before is
 * under way. It does so only while less than half of its memory for outputs is in use. Where several partitions fill that
 * memory, the transactions of some overlap with the splits of others anyway. There can be no deadlock over it: a transaction
 * under way needs no more of it.
 */
import type { PartitionReader, Poll, PollOutcome } from '../kafka/port.ts';
import type { SplitKernel } from '../kernels/split/kernel.ts';
import type { RingSource } from './ring-source.ts';
import { type SplitPart, splitPart, type TransactSettings } from './transact.ts';

/** How long a poll waits for records. */
const IDLE_WAIT_MS = 500;

/** A poll that is not empty, with its first part. Whoever takes it releases both. */
export interface SplitPoll {
  readonly kind: 'poll';
  readonly poll: Poll;
  readonly first: SplitPart;
  /** When the reader handed it over (`performance.now()`): waiting for the transaction before it is part of its latency. */
  readonly since: number;
}

export type NextPoll = SplitPoll | Exclude<PollOutcome, { kind: 'poll' }>;

export interface PollsAhead {
  /** The next poll, by the newest ring epoch that is known now. */
  next(): Promise<NextPoll>;
  /** Begins with the next poll before anyone asks for it, unless the kernel's memory is needed for others. */
  begin(): void;
  /** Gives back what was begun and not asked for. Nothing may be asked for after. */
  close(): Promise<void>;
}

export function pollsAhead(
  reader: Pick<PartitionReader, 'poll'>,
  kernel: SplitKernel,
  rings: RingSource,
  settings: TransactSettings,
): PollsAhead {
  let begun: Promise<NextPoll> | undefined;

  async function split(poll: Poll, since: number): Promise<SplitPoll> {
    try {
      return { kind: 'poll', poll, first: await splitPart(poll, 0, kernel, rings.newest, settings), since };
    } catch (error) {
      poll.release();
      throw error;
    }
  }

  async function take(): Promise<NextPoll> {
    for (;;) {
      const polled = await reader.poll(IDLE_WAIT_MS);
      if (polled.kind !== 'poll') return polled;
      if (polled.poll.count > 0) return split(polled.poll, performance.now());
      polled.poll.release();
    }
  }

  return {
    async next() {
      const taking = begun ?? take();
      begun = undefined;
      const taken = await taking;
      // A poll is routed by the ring epoch that is newest when it is written. One that was split under an older one is split again.
      if (taken.kind !== 'poll' || taken.first.ring === rings.newest) return taken;
      taken.first.result.release();
      return split(taken.poll, taken.since);
    },
    begin() {
      if (!kernel.hasRoom) return;
      begun = take();
      // An error is thrown by the `next` that asks for it.
      begun.catch(() => {});
    },
    async close() {
      const left = await begun?.catch(() => undefined);
      if (left?.kind !== 'poll') return;
      left.first.result.release();
      left.poll.release();
    },
  };
}
