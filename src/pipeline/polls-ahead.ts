/**
 * Polls of one partition, split one ahead of who writes them: the kernel works on the next poll while the transaction of the one before it
 * is on its way. At most one, and only while the kernel's memory for outputs is less than half full: where several partitions fill it, the
 * transactions of one overlap with the splits of the others already. Who waits for that memory is never waited for by who has it: a transaction
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
  /** When it was handed over, of `performance.now()`: what waits for the poll before it counts as waiting, as its records do wait. */
  readonly since: number;
}

export type NextPoll = SplitPoll | Exclude<PollOutcome, { kind: 'poll' }>;

export interface PollsAhead {
  /** The next poll, by the newest ring epoch that is known now. */
  next(): Promise<NextPoll>;
  /** Begins with the next poll, before anyone asks for it, if the kernel has room: other partitions' transactions come first. */
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
      // All of a poll goes by one ring epoch, the newest when it is written: what was split by an older one while it waited is split again.
      if (taken.kind !== 'poll' || taken.first.ring === rings.newest) return taken;
      taken.first.result.release();
      return split(taken.poll, taken.since);
    },
    begin() {
      if (!kernel.hasRoom) return;
      begun = take();
      // What it fails with is for who asks for it.
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
