/** Tails `weir.load` into a window, and `weir.decisions` into the last few decisions: what the controller and the API look at. */
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { type Decision, decodeDecision } from '../control/decision.ts';
import type { KafkaPort, Poll } from '../kafka/port.ts';
import { decodeLoadReport } from '../load/codec.ts';
import type { LoadReport } from '../load/load-report.ts';
import { WireError } from '../load/wire.ts';
import type { Names } from '../names.ts';
import { LoadWindow } from './load-window.ts';

export interface Observer {
  readonly window: LoadWindow;
  /** Next offset of `weir.load`. */
  readonly inputOffset: number;
  /** The latest decisions, newest first; at most MAX_DECISIONS. */
  readonly decisions: readonly Decision[];
  /** Called with each decision read, also of other leaders and from before the start. */
  onDecision(listener: (decision: Decision) => void): () => void;
  /** Resolves after `close()`. */
  readonly done: Promise<void>;
  close(): Promise<void>;
}

export const MAX_DECISIONS = 200;
/**
 * How far before the end of `weir.load` it begins: two windows of 30 s of 60 members. Offsets tell no time: what turns out to be older than
 * the window is left out, what is missing of it delays nothing, for the first window is only looked at once it is over.
 */
const REPORTS_BEFORE_END = 2_000n;
const POLL_WAIT_MS = 500;

export async function observe(
  port: KafkaPort,
  names: Names,
  config: Pick<Config, 'control' | 'load'>,
  options: { now: () => number; log?: Pick<Logger, 'warn'> },
): Promise<Observer> {
  const { now, log } = options;
  const window = new LoadWindow({
    windowMs: config.control.windowMs,
    slotIntervalMs: config.load.slotIntervalMs,
  });
  window.begin(now());
  const decisions: Decision[] = [];
  const listeners = new Set<(decision: Decision) => void>();

  const load = await tail(port, names.load, REPORTS_BEFORE_END, (poll) => {
    for (let i = 0; i < poll.count; i++) {
      const report = reportOf(poll, i);
      if (report) window.add(report, now());
      else
        log?.warn(
          { topic: names.load, offset: String(poll.offset(i)) },
          'a record that is no load report was left out',
        );
    }
  });
  const decided = await tail(port, names.decisions, BigInt(MAX_DECISIONS), (poll) => {
    for (let i = 0; i < poll.count; i++) {
      const value = poll.value(i);
      const decision = value && decodeDecision(value);
      if (!decision) continue;
      decisions.unshift(decision);
      decisions.length = Math.min(decisions.length, MAX_DECISIONS);
      for (const listener of listeners) listener(decision);
    }
  }).catch(async (error: unknown) => {
    await load.close();
    throw error;
  });

  return {
    window,
    get inputOffset() {
      return Number(load.position());
    },
    decisions,
    onDecision(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    done: Promise.all([load.done, decided.done]).then(() => {}),
    async close() {
      await Promise.all([load.close(), decided.close()]);
    },
  };
}

function reportOf(poll: Poll, index: number): LoadReport | null {
  const value = poll.value(index);
  if (!value) return null;
  try {
    return decodeLoadReport(value);
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

interface TopicTail {
  position(): bigint;
  readonly done: Promise<void>;
  close(): Promise<void>;
}

/** Reads partition 0 from `before` records before its end, for ever. The poll is released after `take`. */
async function tail(port: KafkaPort, topic: string, before: bigint, take: (poll: Poll) => void): Promise<TopicTail> {
  const reader = port.reader({ topic, partition: 0 }, { isolation: 'read_committed' });
  try {
    const [only] = await port.admin.offsets(topic);
    const start = only && only.latest - before > only.earliest ? only.latest - before : 'earliest';
    await reader.seek(start);
  } catch (error) {
    await reader.close();
    throw error;
  }
  const run = async () => {
    for (;;) {
      const outcome = await reader.poll(POLL_WAIT_MS);
      if (outcome.kind === 'ended') return;
      // Retention has overtaken us: what is gone was old.
      if (outcome.kind === 'out-of-range') await reader.seek('earliest');
      if (outcome.kind !== 'poll') continue;
      try {
        take(outcome.poll);
      } finally {
        outcome.poll.release();
      }
    }
  };
  const done = run();
  done.catch(() => {});
  return {
    position: () => reader.position,
    done,
    async close() {
      await reader.close();
      // An error is `done`'s to tell.
      await done.catch(() => {});
    },
  };
}
