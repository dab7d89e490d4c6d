/** What is compared, and how one run of it is measured: from outside, the same for all. */
import { setTimeout as delay } from 'node:timers/promises';
import { type CpuSeconds, cpuBetween, cpuSecondsOf, peakRssMb } from '../usage.ts';
import type { Case } from './matrix.ts';

export interface Contender {
  readonly name: string;
  /** What a kill costs. */
  readonly guarantee: string;
  /** At the beginning of the input, whatever it did before. */
  start(): Promise<Running>;
  /** What all its runs so far have written. */
  written(): Promise<Written>;
}

export interface Running {
  readonly pid: number;
  /** Throws once the process has ended by itself. */
  assertRunning(): void;
  /** How much is done, in whatever grows evenly; `isAll` once nothing of the input is left. */
  progress(): Promise<{ readonly done: number; readonly isAll: boolean }>;
  /** From hand-over to the outcome of the transaction, since it was started. Absent: it does not tell. */
  pollMs?(): Promise<PollMs>;
  stop(): Promise<void>;
}

export interface Written {
  readonly records: number;
  /** As stored, with all that is around the values. */
  readonly bytes: number;
}

export interface PollMs {
  readonly p50: number;
  readonly p99: number;
}

/** One run, per million spans where it is not a rate. */
export interface Measurement {
  readonly spansPerSecond: number;
  readonly cpu: CpuSeconds;
  readonly brokerCpuSeconds: number;
  readonly peakRssMb: number;
  readonly pollMs?: PollMs;
  /** When the measured part began and ended, in us of process.hrtime. */
  readonly windowUs: readonly [from: number, to: number];
}

export interface Result {
  readonly case: Case;
  readonly contender: Contender;
  /** In order of the rounds, which are the same for all contenders of a case. */
  readonly runs: readonly Measurement[];
  readonly written: Written;
}

/** Left out: starting, joining the group, the compilers' first moments. */
const WARM_UP_SHARE = 0.2;
const SAMPLE_EVERY_MS = 50;
/** A contender that writes nothing for so long is stuck. */
const STUCK_AFTER_US = 60e6;

interface Sample {
  readonly atUs: number;
  readonly done: number;
  readonly cpu: CpuSeconds;
  readonly brokerCpu: CpuSeconds;
}

/** Runs the contender over the whole input. */
export async function measure(
  contender: Pick<Contender, 'start'>,
  spans: number,
  brokerPid: number,
): Promise<Measurement> {
  const running = await contender.start();
  try {
    const samples = await sampleToTheEnd(running, brokerPid);
    const all = samples.at(-1)!.done;
    const from = samples.find(({ done }) => done >= all * WARM_UP_SHARE)!;
    // Not the last sample: that a group is through is known some time after the last record was written.
    const to = samples.find(({ done }) => done === all)!;
    if (from === to)
      throw new Error(`it was through before it could be measured: ${spans} spans are too few for this machine`);
    const millions = (spans * ((to.done - from.done) / all)) / 1e6;
    const cpu = cpuBetween(from.cpu, to.cpu);
    const brokerCpu = cpuBetween(from.brokerCpu, to.brokerCpu);
    const pollMs = await running.pollMs?.();
    return {
      spansPerSecond: (millions * 1e12) / (to.atUs - from.atUs),
      cpu: { user: cpu.user / millions, system: cpu.system / millions },
      brokerCpuSeconds: (brokerCpu.user + brokerCpu.system) / millions,
      peakRssMb: peakRssMb(running.pid),
      ...(pollMs && { pollMs }),
      windowUs: [from.atUs, to.atUs],
    };
  } finally {
    await running.stop();
  }
}

async function sampleToTheEnd(running: Running, brokerPid: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  let changedAtUs = nowUs();
  for (;;) {
    running.assertRunning();
    const { done, isAll } = await running.progress();
    const atUs = nowUs();
    if (done !== samples.at(-1)?.done) changedAtUs = atUs;
    samples.push({ atUs, done, cpu: cpuSecondsOf(running.pid), brokerCpu: cpuSecondsOf(brokerPid) });
    if (isAll) return samples;
    if (atUs - changedAtUs > STUCK_AFTER_US) throw new Error(`no progress for a minute: stuck at ${done}`);
    await delay(SAMPLE_EVERY_MS);
  }
}

const nowUs = () => Number(process.hrtime.bigint() / 1_000n);
