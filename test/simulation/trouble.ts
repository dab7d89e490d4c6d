/** What goes wrong while an installation works: at random, and aimed at changes of the ring, as that is when it matters. */
import type { Names } from '../../src/names.ts';
import type { Seat } from './members.ts';
import type { Network, SlowPartition } from './network.ts';
import { ACTIVE_MS, type Tally, type Traits } from './traits.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface TroubleOptions {
  readonly time: VirtualTime;
  readonly network: Network;
  readonly names: Names;
  readonly seats: readonly Seat[];
  readonly traits: Traits;
  readonly tally: Tally;
  /** Of the traces, as they are now. */
  partitions(): number;
  addPartition(): void;
  createLateTopic(): void;
  /** Of the control log, as the leader leaves it every thousand offsets: who starts later begins there. */
  leaveSnapshot(): void;
  /** A change of the ring is under way; null: none. */
  phase(): 'adoption' | 'copying' | null;
  abandon(): void;
}

export class Trouble {
  readonly #options: TroubleOptions;

  /** The one that reads of the next change late; null: there is none. */
  #heir: Seat | null = null;

  constructor(options: TroubleOptions) {
    this.#options = options;
  }

  begin(): void {
    const { time, traits, addPartition, createLateTopic, leaveSnapshot } = this.#options;
    const { random } = time;
    this.#sometimes('kills', traits.kills, () => this.#kill(this.#anySeat()));
    this.#sometimes('stops', traits.stops, () => this.#stop(this.#anySeat()));
    this.#sometimes('pauses', traits.pauses, () => this.#pause(this.#anySeat(), random.integer(200, 8_000)));
    this.#sometimes('clock jumps', traits.jumps, () => {
      const { member } = this.#anySeat();
      if (member) member.skewMs = random.integer(-20_000, 20_000);
    });
    this.#sometimes('slow partitions', traits.slow, () => this.#slowDown());
    this.#sometimes('added partitions', traits.addedPartitions, addPartition);
    this.#sometimes('snapshots', traits.snapshots, leaveSnapshot);
    if (traits.lateTopic) this.#sometimes('late topics', 1, createLateTopic);
  }

  /** A change is about to be asked for: who will read of it late gets the partitions of one that has adopted it. */
  aimAtWish(): void {
    const { time, names } = this.#options;
    if (this.#heir || !time.random.chance(0.5) || !this.#isAimed('late readers')) return;
    this.#heir = time.random.pick(this.#seatsOf('process'));
    this.#slow({ member: this.#heir.member, topic: names.control, partition: 0, delayMs: 5_000 }, 6_000);
    time.schedule(() => {
      this.#heir = null;
    }, 6_000);
  }

  /** A ring epoch has been proposed. */
  aimAtAdoption(): void {
    const { random } = this.#options.time;
    const other = this.#heir && this.#seatsOf('process').find((seat) => seat !== this.#heir);
    if (other) {
      this.#soon(1_500, () => this.#kill(other));
      return;
    }
    if (!this.#isAimed('aimed at an adoption')) return;
    switch (random.pick(['pause', 'kill'])) {
      case 'pause':
        this.#soon(1_500, () => this.#pause(this.#anySeat(), random.integer(100, 6_000)));
        break;
      case 'kill':
        this.#soon(1_500, () => this.#kill(this.#anySeat()));
    }
  }

  /** All partitions have adopted it, and its items are being copied. */
  aimAtCopying(): void {
    const { random } = this.#options.time;
    if (!this.#isAimed('aimed at a copying')) return;
    const controllers = this.#seatsOf('control');
    switch (random.pick(['kill', 'kill', 'pause', 'abandon'])) {
      case 'kill':
        for (const seat of random.chance(0.3) ? controllers : [random.pick(controllers)])
          this.#soon(200, () => this.#kill(seat));
        break;
      case 'pause':
        this.#soon(200, () => this.#pause(random.pick(controllers), random.integer(2_000, 6_000)));
        break;
      case 'abandon':
        this.#soon(100, this.#options.abandon);
    }
  }

  /** No more of it. */
  end(): void {
    const { network, seats } = this.#options;
    network.lostShare = 0;
    network.slow.clear();
    for (const { member } of seats) member?.resume();
  }

  #isAimed(what: string): boolean {
    const { time, traits, tally } = this.#options;
    if (time.elapsedMs > ACTIVE_MS - 3_000 || !time.random.chance(traits.aimed)) return false;
    tally(what);
    return true;
  }

  /** Controllers twice as often: a change of leaders is where most can go wrong. */
  #anySeat(): Seat {
    return this.#options.time.random.pick([...this.#options.seats, ...this.#seatsOf('control')]);
  }

  #seatsOf(role: Seat['role']): readonly Seat[] {
    return this.#options.seats.filter((seat) => seat.role === role);
  }

  #kill(seat: Seat): void {
    const { phase, tally } = this.#options;
    if (phase()) tally(`kills during ${phase()}`);
    seat.kill();
    this.#startLater(seat);
  }

  async #stop(seat: Seat): Promise<void> {
    if (await seat.stop()) this.#startLater(seat);
  }

  #pause({ member }: Seat, ms: number): void {
    member?.pause();
    this.#options.time.schedule(() => member?.resume(), ms);
  }

  #slowDown(): void {
    const { time, names, partitions } = this.#options;
    const { random } = time;
    const topic = random.pick([names.ingest('traces'), names.control, names.control, names.requests]);
    const slow: SlowPartition = {
      member: random.chance(0.7) ? this.#anySeat().member : null,
      topic,
      partition: topic === names.ingest('traces') ? random.integer(0, partitions() - 1) : 0,
      delayMs: random.integer(50, 3_000),
    };
    this.#slow(slow, random.integer(500, 10_000));
  }

  #slow(partition: SlowPartition, ms: number): void {
    const { time, network } = this.#options;
    network.slow.add(partition);
    time.schedule(() => network.slow.delete(partition), ms);
  }

  #startLater(seat: Seat): void {
    const { time } = this.#options;
    time.schedule(
      () => {
        if (!seat.member) seat.start();
      },
      time.random.integer(50, 4_000),
    );
  }

  #soon(withinMs: number, happen: () => void): void {
    const { time } = this.#options;
    time.schedule(happen, time.random.integer(0, withinMs));
  }

  #sometimes(what: string, count: number, happen: () => unknown): void {
    const { time, tally } = this.#options;
    for (let i = 0; i < count; i++)
      time.schedule(
        () => {
          tally(what);
          happen();
        },
        time.random.integer(1_000, ACTIVE_MS - 500),
      );
  }
}
