/**
 * Worker processes and their parent: starts them, starts again what ends by itself, and ends them all in order. They share
 * nothing but this channel. Processes and not threads: what crashes, leaks or blocks in one leaves the others alone.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pause } from '../abortable.ts';
import { type ErrorCode, WeirError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { expositionOf } from './exposition.ts';
import { BEAT_MS, type FromWorker, type MetricsSnapshot, type ToWorker } from './messages.ts';
import { RestartBackoff } from './restart-backoff.ts';

const HUNG_AFTER_MS = 30_000;
/**
 * After its last word only Node itself is left to end, which takes a moment. Now and then it hangs in that, see exitAfter in
 * cli/exit.ts; a SIGKILL then loses nothing.
 */
const GONE_WITHIN_MS = 2_000;
/** A scrape does not wait longer for a worker; its series are then missing. */
const METRICS_WITHIN_MS = 2_000;
/** Started again, a worker would take its place in the group back, and two parents' workers would put each other out for ever. */
const NEVER_AGAIN: readonly ErrorCode[] = ['INSTANCE_ID_TAKEN'];

export interface WorkersOptions {
  readonly count: number;
  /** The module that a worker runs; it takes its seat by `takeSeat`. */
  readonly program: URL;
  /** What each worker is told first. */
  settingsOf(worker: number): unknown;
  readonly metrics: Metrics;
  readonly log: Log;
  /** A worker whose event loop hangs so long is killed, as its liveness probe would do to a single process. Default: 30 s. */
  readonly hungAfterMs?: number;
}

export interface Workers {
  /** As a sentence; null when all workers are ready. */
  waitsFor(): string | null;
  /**
   * Rejects with the error of a worker that the user can see to where starting again would not help: none has ever been ready, or
   * another process has its place in the group.
   */
  readonly done: Promise<void>;
  /** For Prometheus: of all that answer, with a `worker` label, and of this process. */
  exposition(): Promise<string>;
  /** Lets all drain. */
  close(): Promise<void>;
}

export function startWorkers({
  count,
  program,
  settingsOf,
  metrics,
  log,
  hungAfterMs = HUNG_AFTER_MS,
}: WorkersOptions): Workers {
  const closing = new AbortController();
  const running = new Map<number, Worker>();
  let anyWasReady = false;

  async function keepRunning(number: number): Promise<void> {
    const backoff = new RestartBackoff();
    const labels = { worker: String(number) };
    while (!closing.signal.aborted) {
      const startedAt = performance.now();
      const worker = new Worker(program, number, settingsOf(number), hungAfterMs / BEAT_MS);
      running.set(number, worker);
      log.info({ worker: number, pid: worker.pid }, 'worker started');
      metrics.workerUp.set(labels, 1);
      const ending = await worker.ended;
      running.delete(number);
      metrics.workerUp.set(labels, 0);
      anyWasReady ||= [worker, ...running.values()].some(({ wasReady }) => wasReady);
      if (closing.signal.aborted) {
        if (!ending.inOrder) log.error({ worker: number }, `the worker ended ${ending.how}`);
        return;
      }
      if (ending.failure && (!anyWasReady || NEVER_AGAIN.includes(ending.failure.code)))
        throw new WeirError(ending.failure.code, ending.failure.message);
      const waitMs = backoff.after(performance.now() - startedAt);
      metrics.workerRestarts.inc(labels);
      log.error(
        { worker: number, ...ending.failure },
        `the worker ended ${ending.how}; it is started again in ${waitMs / 1e3} s, the others go on`,
      );
      await pause(waitMs, closing.signal);
    }
  }

  // A second signal, or a bug of this process: nobody is left to watch over them. What they had in hand was not committed.
  const killAll = () => {
    for (const worker of running.values()) worker.kill();
  };
  process.on('exit', killAll);
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const kept = numbers.map(keepRunning);
  const done = Promise.all(kept).then(() => undefined);
  // Raced by the role, which may not be listening yet.
  done.catch(() => undefined);

  return {
    waitsFor() {
      const reasons = numbers.flatMap((number) => {
        const waits = running.get(number)?.waitsFor ?? ['to be started again'];
        return waits.map((reason) => ({ number, reason }));
      });
      const sentences = [...Map.groupBy(reasons, ({ reason }) => reason)].map(
        ([reason, same]) => `worker ${same.map(({ number }) => number).join(', ')}: ${reason}`,
      );
      return sentences.length === 0 ? null : sentences.join('; ');
    },
    done,
    async exposition() {
      const snapshots = await Promise.all(
        [...running].map(async ([number, worker]) => [number, await worker.metrics()] as const),
      );
      return expositionOf(metrics.registry, new Map(snapshots));
    },
    async close() {
      closing.abort();
      for (const worker of running.values()) worker.stop();
      await Promise.allSettled(kept);
      process.off('exit', killAll);
    },
  };
}

interface Ending {
  readonly how: string;
  /** Exit code 0, or a signal to the whole process group before the worker had begun. */
  readonly inOrder: boolean;
  readonly failure: { readonly code: ErrorCode; readonly message: string } | undefined;
}

/** One process, from its start to its exit. */
class Worker {
  readonly ended: Promise<Ending>;
  waitsFor: readonly string[] = ['starting'];
  wasReady = false;
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, (metrics: MetricsSnapshot) => void>();
  #questions = 0;
  #beatsMissed = 0;
  #hung = false;
  #failure: Ending['failure'];
  /** Its last word. */
  #exitCode: number | undefined;
  #goneTimer: NodeJS.Timeout | undefined;

  constructor(program: URL, number: number, settings: unknown, mostBeatsMissed: number) {
    this.#child = fork(fileURLToPath(program), { serialization: 'advanced' });
    this.#child.on('message', (message) => this.#hear(message as FromWorker));
    this.ended = this.#untilEnd(mostBeatsMissed);
    this.#say({ kind: 'begin', worker: number, settings });
  }

  /** undefined: the system had no process to give. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  stop(): void {
    this.#say({ kind: 'stop' });
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async metrics(): Promise<MetricsSnapshot> {
    const id = this.#questions++;
    const answer = Promise.withResolvers<MetricsSnapshot>();
    const timer = setTimeout(() => answer.resolve([]), METRICS_WITHIN_MS);
    this.#asked.set(id, answer.resolve);
    this.#say({ kind: 'tell-metrics', id });
    return answer.promise.finally(() => {
      clearTimeout(timer);
      this.#asked.delete(id);
    });
  }

  #hear(message: FromWorker): void {
    switch (message.kind) {
      case 'beat':
        this.#beatsMissed = 0;
        this.waitsFor = message.waitsFor;
        this.wasReady ||= message.waitsFor.length === 0;
        break;
      case 'metrics':
        this.#asked.get(message.id)?.(message.metrics);
        break;
      case 'failed':
        this.#failure = { code: message.code, message: message.message };
        break;
      case 'ended':
        this.#exitCode = message.exitCode;
        this.#goneTimer = setTimeout(() => this.kill(), GONE_WITHIN_MS);
    }
  }

  async #untilEnd(mostBeatsMissed: number): Promise<Ending> {
    // Counted and not timed: a machine that slept misses one, not all of them.
    const watch = setInterval(() => {
      if (++this.#beatsMissed <= mostBeatsMissed) return;
      this.#hung = true;
      this.kill();
    }, BEAT_MS);
    try {
      // Rejects where the system has no process to give.
      const exit = (await once(this.#child, 'exit')) as [number | null, NodeJS.Signals | null];
      const [code, signal] = this.#exitCode === undefined ? exit : [this.#exitCode, null];
      const how = this.#hung
        ? 'by being killed, as it did not answer'
        : signal
          ? `by ${signal}`
          : `with exit code ${code}`;
      const inOrder = code === 0 || (signal !== null && ['SIGTERM', 'SIGINT', 'SIGHUP'].includes(signal));
      return { how, inOrder, failure: this.#failure };
    } catch (error) {
      return { how: `before it began: ${(error as Error).message}`, inOrder: false, failure: undefined };
    } finally {
      clearInterval(watch);
      clearTimeout(this.#goneTimer);
    }
  }

  /** To one that has just ended nothing needs to be said: `ended` tells. */
  #say(message: ToWorker): void {
    this.#child.send(message, () => undefined);
  }
}
