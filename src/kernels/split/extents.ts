/**
 * Leases of the output arena: one contiguous extent a call, first fit from the lowest address, so that the same pages are
 * written again and again. Bounded by the arena: who finds no extent waits for a release.
 */
export interface Extent {
  readonly at: number;
  readonly end: number;
}

/** Extents begin and end on cache lines. */
const LINE_BYTES = 64;

export class Extents {
  /** Sorted, neither touching nor overlapping. */
  #free: Extent[] = [];
  #leased = 0;
  #waiting: Array<() => void> = [];

  /** Number of extents that are leased out. */
  get leased(): number {
    return this.#leased;
  }

  get freeBytes(): number {
    return this.#free.reduce((sum, { at, end }) => sum + end - at, 0);
  }

  /** Begins with an arena of which nothing is leased out. */
  cover(at: number, bytes: number): void {
    if (this.#leased > 0) throw new Error(`${this.#leased} outputs are still leased out of the old arena`);
    this.#free = [{ at, end: at + bytes }];
  }

  /** Null when no free extent is large enough now. */
  take(bytes: number): Extent | null {
    const size = Math.ceil(bytes / LINE_BYTES) * LINE_BYTES;
    const index = this.#free.findIndex((extent) => extent.end - extent.at >= size);
    const found = this.#free[index];
    if (!found) return null;
    const taken = { at: found.at, end: found.at + size };
    if (taken.end === found.end) this.#free.splice(index, 1);
    else this.#free[index] = { at: taken.end, end: found.end };
    this.#leased++;
    return taken;
  }

  /** Gives the part below `from` back and keeps the rest leased. */
  shrink(extent: Extent, from: number): Extent {
    const kept = { at: Math.floor(from / LINE_BYTES) * LINE_BYTES, end: extent.end };
    if (kept.at > extent.at) this.#put({ at: extent.at, end: kept.at });
    return kept;
  }

  release(extent: Extent): void {
    this.#put(extent);
    this.#leased--;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** The next release. */
  released(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Free stretches, for tests that look whether anything is written outside the leases. */
  get free(): readonly Extent[] {
    return this.#free;
  }

  #put(extent: Extent): void {
    if (extent.at === extent.end) return;
    let index = this.#free.findIndex((other) => other.at > extent.at);
    if (index === -1) index = this.#free.length;
    const before = this.#free[index - 1];
    const after = this.#free[index];
    const joinsBefore = before?.end === extent.at;
    const joinsAfter = after?.at === extent.end;
    const joined = { at: joinsBefore ? before.at : extent.at, end: joinsAfter ? after.end : extent.end };
    this.#free.splice(index - (joinsBefore ? 1 : 0), (joinsBefore ? 1 : 0) + (joinsAfter ? 1 : 0), joined);
  }
}
