/**
 * Time that a seed makes: every timer, clock read and random number of the process comes from here while a simulation runs. One timer is
 * called after the other; between two of them everything runs that waits for no timer. So one seed gives one order of everything.
 *
 * The globals are replaced, not injected: then nothing that the code under test comes to use is missed.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { createSeededRandom, mix32, type SeededRandom } from '../../src/loadgen/seeded-random.ts';

/** Whose timers, requests and clock they are: like a process of its own it can die, stand still, or be wrong about the time. */
export class Member {
  readonly name: string;
  /** What its wall clock is wrong by. */
  skewMs = 0;
  isDead = false;
  #waking: (() => void)[] | null = null;

  constructor(name: string) {
    this.name = name;
  }

  get isPaused(): boolean {
    return this.#waking !== null;
  }

  pause(): void {
    this.#waking ??= [];
  }

  resume(): void {
    const waking = this.#waking ?? [];
    this.#waking = null;
    for (const wake of waking) wake();
  }

  whenResumed(callback: () => void): void {
    if (this.#waking) this.#waking.push(callback);
    else callback();
  }
}

interface Timer {
  readonly atMs: number;
  /** Of timers that are due at the same time, the lowest goes first. */
  readonly rank: number;
  readonly callback: () => void;
  readonly owner: Member | undefined;
  cancelled: boolean;
}

const START_UNIX_MS = 1_800_000_000_000;
const realImmediate = setImmediate;

export class VirtualTime {
  readonly random: SeededRandom;
  /** Of all that has happened so far, in its order. */
  traceHash = 0;
  readonly #owner = new AsyncLocalStorage<Member | undefined>();
  /** A binary heap. */
  readonly #timers: Timer[] = [];
  #nowMs = START_UNIX_MS;
  #steps = 0;

  constructor(seed: number) {
    this.random = createSeededRandom(seed);
  }

  /** Unix ms, as it truly is. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Since the start. */
  get elapsedMs(): number {
    return this.#nowMs - START_UNIX_MS;
  }

  get steps(): number {
    return this.#steps;
  }

  /** Everything that `start` sets off belongs to the member; to nobody, whom nothing happens to, if there is none. */
  as<T>(owner: Member | undefined, start: () => T): T {
    return this.#owner.run(owner, start);
  }

  note(...what: readonly (string | number)[]): void {
    for (const part of what) {
      if (typeof part === 'number') this.traceHash = mix32(this.traceHash ^ part);
      else for (let i = 0; i < part.length; i++) this.traceHash = mix32(this.traceHash ^ part.charCodeAt(i));
    }
  }

  /** Belongs to the member that asks. The answer cancels it. */
  schedule(callback: () => void, delayMs: number): () => void {
    const atMs = this.#nowMs + (delayMs > 0 ? Math.ceil(delayMs) : 0);
    const owner = this.#owner.getStore();
    const timer = { atMs, rank: this.random.uint32(), callback, owner, cancelled: false };
    this.#push(timer);
    return () => {
      timer.cancelled = true;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.schedule(resolve, ms));
  }

  /** Calls one timer after the other, and `afterStep` behind each, until that returns false. */
  async run(afterStep: () => boolean | Promise<boolean>): Promise<void> {
    await settled();
    while (await afterStep()) {
      const timer = this.#pop();
      if (!timer) return;
      if (timer.cancelled || timer.owner?.isDead) continue;
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      if (timer.owner?.isPaused) {
        const again = () => timer.cancelled || timer.callback();
        timer.owner.whenResumed(() => this.as(timer.owner, () => this.schedule(again, 0)));
        continue;
      }
      this.#steps++;
      this.note(this.elapsedMs, timer.owner?.name ?? '');
      this.as(timer.owner, timer.callback);
      await settled();
    }
  }

  /** Until the answer is called, the process' globals are this time's. */
  install(): () => void {
    const real = {
      setTimeout: globalThis.setTimeout,
      clearTimeout: globalThis.clearTimeout,
      setInterval: globalThis.setInterval,
      clearInterval: globalThis.clearInterval,
    };
    const realSignals = { timeout: AbortSignal.timeout, any: AbortSignal.any };
    const realNow = {
      date: Date.now,
      performance: performance.now,
      random: Math.random,
      randomUUID: crypto.randomUUID,
      cpuUsage: process.cpuUsage,
      rss: process.memoryUsage.rss,
    };
    const clear = (timer: SimulatedTimeout | undefined) => timer?.cancel();
    Object.assign(globalThis, {
      setTimeout: (callback: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
        new SimulatedTimeout(this, () => callback(...args), ms, false),
      setInterval: (callback: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
        new SimulatedTimeout(this, () => callback(...args), ms, true),
      clearTimeout: clear,
      clearInterval: clear,
    });
    AbortSignal.timeout = (ms) => {
      const controller = new AbortController();
      this.schedule(() => controller.abort(new DOMException('the time is over', 'TimeoutError')), ms);
      return controller.signal;
    };
    AbortSignal.any = anyOf;
    Date.now = () => this.#nowMs + (this.#owner.getStore()?.skewMs ?? 0);
    performance.now = () => this.elapsedMs;
    Math.random = () => this.random.unit();
    process.cpuUsage = () => ({ user: 0, system: 0 });
    process.memoryUsage.rss = () => 0;
    let ids = 0;
    crypto.randomUUID = () => `00000000-0000-4000-8000-${String(++ids).padStart(12, '0')}` as const;
    syncBuiltinESMExports();
    return () => {
      Object.assign(globalThis, real);
      Object.assign(AbortSignal, realSignals);
      Date.now = realNow.date;
      performance.now = realNow.performance;
      Math.random = realNow.random;
      crypto.randomUUID = realNow.randomUUID;
      process.cpuUsage = realNow.cpuUsage;
      process.memoryUsage.rss = realNow.rss;
      syncBuiltinESMExports();
    };
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let i = heap.push(timer) - 1;
    for (let parent = (i - 1) >> 1; i > 0 && isBefore(timer, heap[parent]!); parent = (i - 1) >> 1) {
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = timer;
  }

  #pop(): Timer | undefined {
    const heap = this.#timers;
    const top = heap[0];
    const last = heap.pop();
    if (!top || !last || top === last) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

/** Node keeps those of AbortSignal.any that are listened to until they are aborted, and with them all of a simulation that has ended. */
function anyOf(signals: Iterable<AbortSignal>): AbortSignal {
  const controller = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason);
    else signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}

/** What setTimeout and setInterval answer. */
class SimulatedTimeout {
  cancel: () => void = () => {};

  constructor(time: VirtualTime, callback: () => void, ms: number, repeats: boolean) {
    const start = () => {
      this.cancel = time.schedule(
        () => {
          if (repeats) start();
          callback();
        },
        Math.max(1, ms),
      );
    };
    start();
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

const isBefore = (a: Timer, b: Timer) => a.atMs < b.atMs || (a.atMs === b.atMs && a.rank < b.rank);

/** A macrotask comes after all microtasks, however many a promise chain needs. */
function settled(): Promise<void> {
  return new Promise((resolve) => realImmediate(resolve));
}
