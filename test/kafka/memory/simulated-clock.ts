import type { Clock } from '../../../src/kafka/memory/index.ts';

/** Time that stands still until it is turned. */
export class SimulatedClock implements Clock {
  #nowMs = 1_000_000;
  #timers: { atMs: number; order: number; callback: () => void }[] = [];
  #order = 0;

  readonly now = () => this.#nowMs;

  readonly setTimer = (callback: () => void, delayMs: number) => {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  readonly turn = async () => {};

  get pendingTimers(): number {
    return this.#timers.length;
  }

  /** Lets everything run that waits for no timer. */
  async settle(): Promise<void> {
    // A macrotask comes after all microtasks, however many a promise chain needs.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Turns on by `ms`, calling what is due on the way, in order. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await this.settle();
    for (;;) {
      const [due] = this.#timers
        .filter(({ atMs }) => atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      if (!due) break;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.#nowMs = due.atMs;
      due.callback();
      await this.settle();
    }
    this.#nowMs = untilMs;
  }
}
