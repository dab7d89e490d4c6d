const FIRST_MS = 500;
const LONGEST_MS = 30_000;
/** Who has run this long did not end by what ended it before. */
const STABLE_MS = 60_000;

/** How long to wait before a worker that ended is started again: doubling, from the first again after a stable run. */
export class RestartBackoff {
  #nextMs = FIRST_MS;

  after(ranMs: number): number {
    if (ranMs >= STABLE_MS) this.#nextMs = FIRST_MS;
    const waitMs = this.#nextMs;
    this.#nextMs = Math.min(waitMs * 2, LONGEST_MS);
    return waitMs;
  }
}
