/** Tails `weir.load` into a window: what the controller decides on and the API shows. */
import type { Config } from '../config.ts';
import type { KafkaPort, Poll } from '../kafka/port.ts';
import { decodeLoadReport } from '../load/codec.ts';
import type { LoadReport } from '../load/load-report.ts';
import type { Names } from '../names.ts';
import { ProtobufError } from '../protobuf/reader.ts';
import { LoadWindow } from './load-window.ts';
import { tailPartition } from './partition-tail.ts';

export interface Observer {
  readonly window: LoadWindow;
  /** Next offset of `weir.load`. */
  readonly inputOffset: number;
  /** Resolves after `close()`; rejects when reading turns out to be impossible. */
  readonly done: Promise<void>;
  close(): Promise<void>;
}

export interface ObserveOptions {
  readonly now: () => number;
  /** Told of each report that is news: no duplicate, and of what is from before the window only that somebody leaves. */
  readonly onReport?: (report: LoadReport) => void;
  /** Told of each record that is no load report. */
  readonly log?: (fields: { readonly topic: string; readonly offset: string }, text: string) => void;
}

/**
 * How far before the end of `weir.load` it begins: a window of 30 s of 60 members. Offsets tell no time: what turns out to be older than
 * the window is left out.
 */
const REPORTS_BEFORE_END = 2_000;

/** Resolves once the reports that are there now have been read. */
export async function observe(
  port: KafkaPort,
  names: Pick<Names, 'load'>,
  config: Pick<Config, 'control' | 'load'>,
  { now, onReport, log }: ObserveOptions,
): Promise<Observer> {
  const window = new LoadWindow({
    windowMs: config.control.windowMs,
    slotIntervalMs: config.load.slotIntervalMs,
  });
  window.begin(now());
  const tail = await tailPartition(port, { topic: names.load, partition: 0 }, REPORTS_BEFORE_END, (poll) => {
    for (let i = 0; i < poll.count; i++) {
      const report = reportOf(poll, i);
      if (report) {
        const isNews = window.add(report, now());
        if (isNews || report.leaving) onReport?.(report);
      } else
        log?.({ topic: poll.topic, offset: String(poll.offset(i)) }, 'a record that is no load report was left out');
    }
  });
  return {
    window,
    get inputOffset() {
      return Number(tail.position);
    },
    done: tail.done,
    close: () => tail.close(),
  };
}

function reportOf(poll: Poll, index: number): LoadReport | null {
  const value = poll.value(index);
  if (!value) return null;
  try {
    return decodeLoadReport(value);
  } catch (error) {
    if (error instanceof ProtobufError) return null;
    throw error;
  }
}
