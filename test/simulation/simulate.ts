/** One seed: an installation on the in-process log lives through a time of trouble, then has to come to rest. */
import { pino } from 'pino';
import { type Config, defaultConfig } from '../../src/config.ts';
import { encodeRequest, type Wish } from '../../src/coordination/requests.ts';
import { createMemoryKafka, type MemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort, Producer } from '../../src/kafka/port.ts';
import { createReferenceAggregate } from '../../src/kernels/aggregate/reference.ts';
import { createReferenceCrc32c } from '../../src/kernels/crc32c/reference.ts';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import type { Log } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { type Names, namesFor } from '../../src/names.ts';
import { ensureTopics, planTopics, type TopicFacts } from '../../src/topics.ts';
import { decodeItems } from '../support/otlp-schema.ts';
import { Audit } from './audit.ts';
import { Seat, type Surroundings } from './members.ts';
import { Network, type SlowPartition } from './network.ts';
import { type PlantedBug, plant, standIn } from './planted.ts';
import { VirtualTime } from './virtual-time.ts';

export interface SimulationResult {
  readonly seed: number;
  /** What did not hold; none: all did. */
  readonly violations: readonly string[];
  /** The same for the same seed and code: of every timer and request, in their order. */
  readonly traceHash: number;
  readonly virtualMs: number;
  readonly steps: number;
  /** How much has happened: what a run of many seeds shows to have been there at all. */
  readonly happened: Readonly<Record<string, number>>;
}

export interface SimulationOptions {
  readonly bug?: PlantedBug;
  readonly log?: Log;
}

/** Trouble and work go on for so long. */
const ACTIVE_MS = 25_000;
/** By then all must have come to rest. */
const REST_MS = 60_000;
const SPANS_PER_REQUEST = 4;
const MEMBERS = { process: 2, control: 2, client: 2 } as const;

const shared = (() => {
  const corpus = createCorpus({ seed: 1, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST, shape: { hosts: 10 } });
  const requests = corpus.requests(80).map((value) => {
    return { value, spanIds: decodeItems('traces', value).map(({ spanId }) => spanId) };
  });
  const ring = createReferenceRing();
  return {
    requests,
    metrics: createMetrics(),
    hash: createReferenceHash(),
    ring,
    score: createReferenceScore(),
    crc32c: createReferenceCrc32c(),
    aggregate: createReferenceAggregate(),
  };
})();

export async function simulate(
  seed: number,
  { bug, log = pino({ level: 'silent' }) }: SimulationOptions = {},
): Promise<SimulationResult> {
  const time = new VirtualTime(seed);
  const uninstall = time.install();
  try {
    return await new Simulation(seed, time, bug, log).run();
  } finally {
    uninstall();
  }
}

/** What is drawn once for a seed, so that seeds differ in kind and not only in chance. */
function drawTraits({ random }: VirtualTime) {
  return {
    longestMs: random.pick([2, 10, 60]),
    lostShare: random.pick([0, 0.001, 0.005, 0.02]),
    carryMs: random.pick([0, 0, 2_000, 10_000]),
    rebalances: random.pick(['never', 'never', 'never', 'decided', 'applied']),
    staticMembers: random.chance(0.5),
    kills: random.integer(0, 4),
    stops: random.integer(0, 2),
    pauses: random.integer(0, 4),
    jumps: random.integer(0, 3),
    slow: random.integer(0, 6),
    /** Chance of trouble with each change of the ring. */
    aimed: random.pick([0, 0.5, 1]),
    wishes: random.integer(2, 10),
    /** To the traces. */
    addedPartitions: random.integer(0, 2),
    /** The topic of the logs is not there at first. */
    lateTopic: random.chance(0.3),
    feedEveryMs: random.pick([100, 300, 600]),
  };
}

class Simulation {
  readonly #seed: number;
  readonly #time: VirtualTime;
  readonly #bug: PlantedBug | undefined;
  readonly #log: Log;
  readonly #traits: ReturnType<typeof drawTraits>;
  readonly #network: Network;
  readonly #names: Names = namesFor('');
  readonly #port: KafkaPort;
  readonly #kafka: MemoryKafka;
  readonly #audit: Audit;
  /** Of the traces. */
  #partitions = 3;
  readonly #seats: Seat[] = [];
  readonly #sent = new Set<string>();
  readonly #active = new AbortController();
  readonly #failures: string[] = [];
  readonly #happened: Record<string, number> = {};
  /** Topics of transactions that have ended since the audit last looked; null: none has. */
  #written: Set<string> | null = null;
  #isOver = false;

  constructor(seed: number, time: VirtualTime, bug: PlantedBug | undefined, log: Log) {
    this.#seed = seed;
    this.#time = time;
    this.#bug = bug;
    this.#log = log;
    this.#traits = drawTraits(time);
    const kafka = createMemoryKafka({
      now: () => time.nowMs,
      setTimer: (callback, ms, background) =>
        background ? time.as(undefined, () => time.schedule(callback, ms)) : time.schedule(callback, ms),
    });
    this.#kafka = kafka;
    this.#network = new Network(time, kafka, this.#traits, (topics) => {
      this.#written ??= new Set();
      for (const topic of topics) this.#written.add(topic);
    });
    this.#port = kafka.connect();
    this.#audit = new Audit(this.#port, this.#names);
  }

  async run(): Promise<SimulationResult> {
    const time = this.#time;
    const topics = await this.#createTopics();
    await this.#audit.begin();
    this.#startMembers(topics);
    const producer = await this.#port.producer();
    this.#feed(producer);
    this.#ask(producer);
    this.#makeTrouble();
    time.schedule(() => this.#heal(), ACTIVE_MS);
    time.schedule(() => this.#giveUp(), ACTIVE_MS + REST_MS);
    await time.run(async () => {
      const written = this.#written;
      if (written) {
        this.#written = null;
        const ringsBefore = this.#audit.rings.size;
        await this.#audit.advance(written);
        if (this.#audit.rings.size > ringsBefore) this.#aimTrouble();
      }
      return !this.#isOver && this.#failures.length + this.#audit.violations.length === 0;
    });
    // What went wrong before it came to rest says more than what is then not yet there.
    if (this.#failures.length + this.#audit.violations.length === 0) await this.#audit.finish(this.#sent);
    this.#count('leader changes', this.#audit.leaderChanges - 1);
    this.#count('ring epochs', this.#audit.rings.size - 1);
    this.#count('decisions', this.#audit.state.decisions.size);
    return {
      seed: this.#seed,
      violations: [...this.#failures, ...this.#audit.violations],
      traceHash: time.traceHash,
      virtualMs: time.elapsedMs,
      steps: time.steps,
      happened: this.#happened,
    };
  }

  async #createTopics(): Promise<TopicFacts> {
    const config = this.#config({});
    const names = this.#names;
    const planned = planTopics({ config, names, brokers: 1 }).topics.map((topic) =>
      topic.purpose === 'ingest' && topic.signal !== 'traces' ? { ...topic, partitions: 1 } : topic,
    );
    const { admin } = this.#port;
    await admin.createTopics(planned);
    const facts = await ensureTopics(admin, { config, names });
    if (this.#traits.lateTopic) {
      const logs = planned.filter(({ name }) => name === names.ingest('logs'));
      await admin.deleteTopics([names.ingest('logs')]);
      this.#sometimes('late topics', 1, () => void admin.createTopics(logs));
    }
    return facts;
  }

  #config(kafka: { readonly instanceId?: string }): Config {
    const { carryMs, rebalances } = this.#traits;
    return defaultConfig({
      kafka: { sessionTimeoutMs: 2_000, transactionTimeoutMs: 4_000, ...kafka },
      topics: { ingestPartitions: this.#partitions },
      poll: { maxRecords: 4 },
      routing: { vnodes: 8, traces: { shards: 4 }, metrics: { shards: 1 }, logs: { shards: 1 } },
      load: { reportIntervalMs: 1_000, slotIntervalMs: 2_000 },
      control: {
        tickMs: 500,
        windowMs: 4_000,
        ring: { carryMs },
        scaling: { stabilisationMs: 500 },
        rebalance: {
          apply: rebalances === 'applied',
          minBytesPerSecond: rebalances === 'never' ? 1e12 : 1,
          cooldownMs: 3_000,
          holdMs: 1_000,
          churnSlots: 65_536,
        },
      },
    });
  }

  #startMembers(topics: TopicFacts): void {
    const { metrics, score, ring, hash, crc32c, aggregate } = shared;
    const time = this.#time;
    const surroundings: Surroundings = {
      ...{ time, network: this.#network, names: this.#names, topics, metrics, log: this.#log },
      active: this.#active.signal,
      kernels: () => ({ split: createReferenceSplit(), score, ring, hash, crc32c, aggregate }),
      configFor: ({ role, index }) =>
        this.#config(role === 'process' && this.#traits.staticMembers ? { instanceId: `static-${index}` } : {}),
      wrap: (port, seat) => {
        const told = this.#withDoubledReports(port);
        return this.#bug ? plant(this.#bug, told, seat, this.#names) : told;
      },
      onFailure: (member, error) => this.#failures.push(`${member} could not go on: ${(error as Error).message}`),
    };
    for (const role of ['process', 'control', 'client'] as const)
      for (let index = 0; index < MEMBERS[role]; index++) {
        const seat = new Seat(role, index, surroundings);
        this.#seats.push(seat);
        time.schedule(() => seat.start(), time.random.integer(0, 500));
      }
  }

  /** As from a producer that is not idempotent, or from two processes with one name. */
  #withDoubledReports(port: KafkaPort): KafkaPort {
    return standIn(port, {
      producer: async (options) => {
        const producer = await port.producer(options);
        const send: Producer['send'] = (records) => {
          const isReport = records.every(({ topic }) => topic === this.#names.load);
          if (!isReport || !this.#time.random.chance(0.1)) return producer.send(records);
          this.#count('doubled reports');
          return producer.send([...records, ...records]);
        };
        return standIn(producer, { send });
      },
    });
  }

  #feed(producer: Producer): void {
    const { random } = this.#time;
    const topic = this.#names.ingest('traces');
    let next = 0;
    const feed = () => {
      if (this.#time.elapsedMs > ACTIVE_MS || next === shared.requests.length) return;
      const requests = shared.requests.slice(next, next + random.integer(1, 2));
      next += requests.length;
      const partition = random.integer(0, this.#partitions - 1);
      for (const id of requests.flatMap(({ spanIds }) => spanIds)) this.#sent.add(id);
      void producer.send(requests.map(({ value }) => ({ topic, partition, value })));
      this.#time.schedule(feed, random.integer(0, 2 * this.#traits.feedEveryMs));
    };
    this.#time.schedule(feed, 0);
  }

  /** Changes of the ring, at random, some of them sent twice. */
  #ask(producer: Producer): void {
    const { random } = this.#time;
    for (let i = 1; i <= this.#traits.wishes; i++)
      this.#time.schedule(
        () => {
          const id = `wish-${i}`;
          const at = this.#time.nowMs;
          const wish = this.#drawWish(i);
          const value = encodeRequest({ version: 1, id, member: 'operator', at, expiresAt: at + 30_000, wish });
          const times = random.chance(0.25) ? 2 : 1;
          this.#count(wish.kind);
          const record = { topic: this.#names.requests, partition: 0, value };
          void producer.send([record]);
          if (times > 1) this.#time.schedule(() => void producer.send([record]), random.integer(0, 3_000));
        },
        random.integer(500, ACTIVE_MS),
      );
  }

  #drawWish(number: number): Wish {
    const { random } = this.#time;
    const shards = this.#audit.state.ring?.signals.traces.shards.map(({ name }) => name) ?? ['traces-0000'];
    const kinds = ['create', 'split', 'move', 'move', 'merge', 'retire', 'abandon', 'abandon'] as const;
    switch (random.pick(kinds)) {
      case 'create':
        return { kind: 'create', signal: 'traces', name: `new-${number}`, capacity: 1 };
      case 'split':
        return { kind: 'split', shard: random.pick(shards) };
      case 'move':
        return { kind: 'move', from: random.pick(shards), to: random.pick(shards), slots: random.integer(1, 20_000) };
      case 'merge':
        return { kind: 'merge', shard: random.pick(shards), into: random.pick(shards) };
      case 'retire':
        return { kind: 'retire', shard: random.pick(shards) };
      case 'abandon':
        return { kind: 'abandon' };
    }
  }

  #makeTrouble(): void {
    const { random } = this.#time;
    const { kills, stops, pauses, jumps, slow, addedPartitions } = this.#traits;
    this.#sometimes('added partitions', addedPartitions, () => {
      this.#audit.partitionAdded(this.#partitions);
      this.#kafka.addPartitions(this.#names.ingest('traces'), ++this.#partitions);
    });
    this.#sometimes('kills', kills, () => this.#kill(random.pick(this.#seats)));
    this.#sometimes('stops', stops, () => {
      const seat = random.pick(this.#seats);
      seat.stop().then((stopped) => {
        if (stopped) this.#startLater(seat);
      });
    });
    this.#sometimes('pauses', pauses, () => {
      const { member } = random.pick(this.#seats);
      if (!member) return;
      member.pause();
      this.#time.schedule(() => member.resume(), random.integer(200, 8_000));
    });
    this.#sometimes('clock jumps', jumps, () => {
      const { member } = random.pick(this.#seats);
      if (member) member.skewMs = random.integer(-20_000, 20_000);
    });
    this.#sometimes('slow partitions', slow, () => {
      const { ingest, control, requests } = this.#names;
      const topic = random.pick([ingest('traces'), control, control, requests]);
      const slow: SlowPartition = {
        member: random.chance(0.7) ? random.pick(this.#seats).member : null,
        topic,
        partition: topic === ingest('traces') ? random.integer(0, this.#partitions - 1) : 0,
        delayMs: random.integer(50, 3_000),
      };
      this.#network.slow.add(slow);
      this.#time.schedule(() => this.#network.slow.delete(slow), random.integer(500, 10_000));
    });
  }

  /** While a change of the ring is under way: that is when it matters. */
  #aimTrouble(): void {
    const { random } = this.#time;
    if (this.#time.elapsedMs > ACTIVE_MS - 5_000 || !random.chance(this.#traits.aimed)) return;
    this.#count('aimed at a change');
    const [heir, other] = random.chance(0.5) ? [0, 1] : [1, 0];
    const soon = () => random.integer(50, 1_500);
    switch (random.pick(['late reader', 'late reader', 'pause', 'kill'])) {
      case 'late reader': {
        // Who reads of the change late gets the partitions of one that had adopted it.
        const slow = { member: this.#seats[heir]!.member, topic: this.#names.control, partition: 0, delayMs: 4_000 };
        this.#network.slow.add(slow);
        this.#time.schedule(() => this.#network.slow.delete(slow), 6_000);
        this.#time.schedule(() => this.#kill(this.#seats[other]!), soon());
        break;
      }
      case 'pause': {
        const { member } = random.pick(this.#seats);
        this.#time.schedule(() => {
          member?.pause();
          this.#time.schedule(() => member?.resume(), random.integer(100, 6_000));
        }, soon());
        break;
      }
      case 'kill':
        this.#time.schedule(() => this.#kill(random.pick(this.#seats)), soon());
    }
  }

  #kill(seat: Seat): void {
    seat.kill();
    this.#startLater(seat);
  }

  #sometimes(what: string, count: number, happen: () => void): void {
    for (let i = 0; i < count; i++)
      this.#time.schedule(
        () => {
          this.#count(what);
          happen();
        },
        this.#time.random.integer(1_000, ACTIVE_MS - 500),
      );
  }

  #startLater(seat: Seat): void {
    this.#time.schedule(
      () => {
        if (!seat.member) seat.start();
      },
      this.#time.random.integer(50, 4_000),
    );
  }

  /** No more trouble: now all has to come to rest. */
  #heal(): void {
    this.#active.abort();
    this.#network.lostShare = 0;
    this.#network.slow.clear();
    for (const { member } of this.#seats) member?.resume();
    const look = async () => {
      if (await this.#isAtRest()) this.#isOver = true;
      else this.#time.schedule(() => void look(), 500);
    };
    this.#time.schedule(() => void look(), 500);
  }

  async #isAtRest(): Promise<boolean> {
    await this.#audit.advance(new Set());
    return (await this.#unrest()) === null;
  }

  /** null: there is none. */
  async #unrest(): Promise<string | null> {
    const { ring, proposed } = this.#audit.state;
    if (!ring) return 'there is no ring epoch';
    const [unanswered] = this.#audit.requests.unanswered;
    if (unanswered) return unanswered;
    const [held] = this.#audit.state.locks.keys();
    if (held) return `the lock on ${held} is held on`;
    const lags = await this.#port.admin.lag(this.#names.processGroup, this.#names.ingest('traces'));
    const [behind] = [...lags].find(([, lag]) => lag > 0n) ?? [];
    if (behind !== undefined) return `partition ${behind} of the traces is not drained`;
    if (proposed) return `ring epoch ${proposed.ring.epoch} is proposed, and not active`;
    return null;
  }

  async #giveUp(): Promise<void> {
    const unrest = await this.#unrest();
    if (unrest) this.#failures.push(`${REST_MS / 1_000} s after the last trouble ${unrest}`);
    this.#isOver = true;
  }

  #count(what: string, times = 1): void {
    this.#happened[what] = (this.#happened[what] ?? 0) + times;
  }
}
