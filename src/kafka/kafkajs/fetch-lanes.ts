/**
 * The connections that carry fetches, and the memory that their answers may take. Each leader has two lanes, each with a
 * connection of its own and at most one fetch under way: on the long lane the broker may wait for records to arrive; the
 * short lane serves partitions that ask meanwhile, so that busy partitions are not held up by idle ones.
 */
import { fetchInto } from './fetch.ts';
import type { FetchAnswer, FetchRequest } from './fetch-request.ts';
import { type Frame, FramePool } from './frame-pool.ts';
import type { BrokerAddress } from './link.ts';
import type { Links } from './links.ts';
import { check } from './outcomes.ts';

const LONG_WAIT_MS = 500;
const SHORT_WAIT_MS = 20;
/**
 * Limit for all answers together, on their way or in hand, and for what is decompressed of them. Where polls in hand use it up, nothing is fetched ahead, and a
 * fetch that someone waits for is cut to LEAST_BYTES but still sent: a partition whose polls take long does not stop another.
 */
const HELD_BYTES = 24 * 1024 * 1024;
const LEAST_BYTES = 1_000_000;

/** The use of one lane to one leader, from `claim` to `end`. */
export interface LaneClaim {
  readonly lane: 'long' | 'short';
  readonly leader: BrokerAddress;
  /** The limit of the answer's records, decompressed. */
  readonly maxBytes: number;
}

export class FetchLanes {
  readonly #links: Readonly<Record<LaneClaim['lane'], Links>>;
  readonly #claims = new Map<string, LaneClaim>();
  /** By lane: until when the broker ignores its requests because a quota is used up (KIP-219). */
  readonly #mutedUntil = new Map<string, number>();
  /** Of all answers, and of what is decompressed of them. */
  readonly frames = new FramePool(HELD_BYTES);

  constructor(openLinks: () => Links) {
    this.#links = { long: openLinks(), short: openLinks() };
  }

  /** What a poll of so many bytes may take now. */
  roomFor(wantedBytes: number): number {
    return Math.min(wantedBytes, Math.max(LEAST_BYTES, this.freeBytes));
  }

  /** Bytes that further answers may take. */
  get freeBytes(): number {
    let free = HELD_BYTES - this.frames.heldBytes;
    for (const { maxBytes } of this.#claims.values()) free -= maxBytes;
    return free;
  }

  /** Null while the leader can be asked nothing more. */
  claim(leader: BrokerAddress, wantedBytes: number): LaneClaim | null {
    // While the short lane is in use the long one is not taken: a partition gone idle is to move over to it.
    if (this.#claims.has(nameOf({ lane: 'short', leader }))) return null;
    const lane = this.#claims.has(nameOf({ lane: 'long', leader })) ? 'short' : 'long';
    const claim = { lane, leader, maxBytes: this.roomFor(wantedBytes) } as const;
    this.#claims.set(nameOf(claim), claim);
    return claim;
  }

  end(claim: LaneClaim): void {
    this.#claims.delete(nameOf(claim));
  }

  /** The caller releases the frame. `waitUntil` (`performance.now()` clock): nobody waits for records beyond it. */
  async fetch(
    claim: LaneClaim,
    request: Omit<FetchRequest, 'maxWaitMs'>,
    waitUntil: number,
  ): Promise<{ readonly answer: FetchAnswer; readonly frame: Frame }> {
    const { lane, leader } = claim;
    const link = await this.#links[lane].to(leader);
    const now = performance.now();
    const longestMs = lane === 'long' ? LONG_WAIT_MS : SHORT_WAIT_MS;
    const maxWaitMs = Math.ceil(Math.min(longestMs, Math.max(SHORT_WAIT_MS, waitUntil - now)));
    const mutedMs = Math.max(0, (this.#mutedUntil.get(nameOf(claim)) ?? 0) - now);
    const fetched = await fetchInto(this.frames, link, { ...request, maxWaitMs }, mutedMs);
    // What it claimed counts as held from here on.
    this.#claims.set(nameOf(claim), { ...claim, maxBytes: 0 });
    this.#mutedUntil.set(nameOf(claim), performance.now() + fetched.answer.throttleMs);
    try {
      check('Fetch', fetched.answer.errorCode);
    } catch (error) {
      fetched.frame.release();
      throw error;
    }
    return fetched;
  }

  destroy(): void {
    for (const links of Object.values(this.#links)) links.destroy();
  }
}

const nameOf = ({ lane, leader: { host, port } }: Pick<LaneClaim, 'lane' | 'leader'>) => `${lane} ${host}:${port}`;
