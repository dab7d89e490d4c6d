/** One seed: an installation on the in-process log lives through a time of trouble, then has to come to rest. */
import { pino } from 'pino';
import { snapshotRecord } from '../../src/coordination/snapshot.ts';
import { createMemoryKafka, type MemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort, Producer } from '../../src/kafka/port.ts';
import { createReferenceAggregate } from '../../src/kernels/aggregate/reference.ts';
import { createReferenceCrc32c } from '../../src/kernels/crc32c/reference.ts';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';
import type { Log } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { type Names, namesFor } from '../../src/names.ts';
import { ensureTopics, type TopicFacts } from '../../src/topics/ensure-topics.ts';
import { planTopics } from '../../src/topics/topic-plan.ts';
import { standIn } from '../support/stand-in.ts';
import { Audit } from './audit.ts';
import { Seat, type Surroundings } from './members.ts';
import { Network } from './network.ts';
import { type PlantedBug, plant } from './planted.ts';
import { FIRST_PARTITIONS, settingsOf } from './settings.ts';
import { ACTIVE_MS, drawTraits, type Traits } from './traits.ts';
import { Trouble } from './trouble.ts';
import { VirtualTime } from './virtual-time.ts';
import { Workload } from './workload.ts';

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

/** By then all must have come to rest. */
const REST_MS = 60_000;
const MEMBERS = { process: 2, control: 2, client: 2 } as const;

const shared = {
  metrics: createMetrics(),
  hash: createReferenceHash(),
  ring: createReferenceRing(),
  score: createReferenceScore(),
  crc32c: createReferenceCrc32c(),
  aggregate: createReferenceAggregate(),
};

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

class Simulation {
  readonly #seed: number;
  readonly #time: VirtualTime;
  readonly #bug: PlantedBug | undefined;
  readonly #log: Log;
  readonly #traits: Traits;
  readonly #network: Network;
  readonly #names: Names = namesFor('');
  readonly #kafka: MemoryKafka;
  readonly #port: KafkaPort;
  readonly #audit: Audit;
  readonly #seats: Seat[] = [];
  readonly #failures: string[] = [];
  readonly #happened: Record<string, number> = {};
  readonly #active = new AbortController();
  /** Of the traces. */
  #partitions = FIRST_PARTITIONS;
  /** Topics of transactions that have ended since the audit last looked; null: none has. */
  #written: Set<string> | null = null;
  #isOver = false;

  constructor(seed: number, time: VirtualTime, bug: PlantedBug | undefined, log: Log) {
    this.#seed = seed;
    this.#time = time;
    this.#bug = bug;
    this.#log = log;
    this.#traits = drawTraits(time.random);
    this.#kafka = createMemoryKafka({
      now: () => time.nowMs,
      setTimer: (callback, ms, background) =>
        background ? time.as(undefined, () => time.schedule(callback, ms)) : time.schedule(callback, ms),
    });
    this.#network = new Network(time, this.#kafka, this.#traits, (topics) => {
      this.#written ??= new Set();
      for (const topic of topics) this.#written.add(topic);
    });
    this.#port = this.#kafka.connect();
    this.#audit = new Audit(this.#port, this.#names);
  }

  async run(): Promise<SimulationResult> {
    const time = this.#time;
    const topics = await this.#createTopics();
    await this.#audit.begin();
    this.#startMembers(topics);
    const { workload, trouble } = await this.#engage();
    workload.begin();
    trouble.begin();
    time.schedule(() => this.#rest(trouble), ACTIVE_MS);
    time.schedule(() => this.#giveUp(), ACTIVE_MS + REST_MS);
    await time.run(async () => {
      const written = this.#written;
      if (written) {
        this.#written = null;
        const before = { rings: this.#audit.rings.size, phase: this.#phase };
        await this.#audit.advance(written);
        if (this.#audit.rings.size > before.rings) trouble.aimAtAdoption();
        if (this.#phase === 'copying' && before.phase !== 'copying') trouble.aimAtCopying();
      }
      return !this.#isOver && !this.#hasFailed;
    });
    // What went wrong before it came to rest says more than what is then not yet there.
    if (!this.#hasFailed) await this.#audit.finish(workload.sent);
    for (const [what, times] of Object.entries(this.#audit.happened)) this.#count(what, times);
    return {
      seed: this.#seed,
      violations: [...this.#failures, ...this.#audit.violations],
      traceHash: time.traceHash,
      virtualMs: time.elapsedMs,
      steps: time.steps,
      happened: this.#happened,
    };
  }

  get #hasFailed(): boolean {
    return this.#failures.length + this.#audit.violations.length > 0;
  }

  get #phase(): 'adoption' | 'copying' | null {
    const { proposed } = this.#audit.state;
    return proposed && (proposed.adoptedAt === null ? 'adoption' : 'copying');
  }

  async #createTopics(): Promise<TopicFacts> {
    const config = settingsOf(this.#traits);
    const { admin } = this.#port;
    await admin.createTopics(this.#plannedTopics());
    const facts = await ensureTopics(admin, { config, names: this.#names });
    if (this.#traits.lateTopic) await admin.deleteTopics([this.#names.ingest('logs')]);
    return facts;
  }

  #plannedTopics() {
    return planTopics({ config: settingsOf(this.#traits), names: this.#names, brokers: 1 }).topics.map((topic) =>
      topic.purpose === 'ingest' && topic.signal !== 'traces' ? { ...topic, partitions: 1 } : topic,
    );
  }

  async #engage(): Promise<{ workload: Workload; trouble: Trouble }> {
    const common = {
      ...{ time: this.#time, names: this.#names, traits: this.#traits },
      tally: (what: string) => this.#count(what),
      partitions: () => this.#partitions,
    };
    const producer = await this.#port.producer();
    const workload = new Workload({
      ...{ ...common, producer, state: () => this.#audit.state },
      onWish: () => trouble.aimAtWish(),
    });
    const trouble = new Trouble({
      ...common,
      network: this.#network,
      seats: this.#seats,
      phase: () => this.#phase,
      addPartition: () => {
        this.#audit.partitionAdded(this.#partitions);
        this.#kafka.addPartitions(this.#names.ingest('traces'), ++this.#partitions);
      },
      createLateTopic: () => {
        const logs = this.#plannedTopics().filter(({ name }) => name === this.#names.ingest('logs'));
        void this.#port.admin.createTopics(logs);
      },
      leaveSnapshot: () => void producer.send([snapshotRecord(this.#names.snapshots, this.#audit.state)]),
      abandon: () => workload.ask({ kind: 'abandon' }),
    });
    return { workload, trouble };
  }

  #startMembers(topics: TopicFacts): void {
    const { metrics, score, ring, hash, crc32c, aggregate } = shared;
    const time = this.#time;
    const surroundings: Surroundings = {
      ...{ time, network: this.#network, names: this.#names, topics, metrics, log: this.#log },
      ...{ lockEveryMs: this.#traits.lockEveryMs, active: this.#active.signal },
      kernels: () => ({ split: createReferenceSplit(), score, ring, hash, crc32c, aggregate }),
      configFor: ({ role, index }) =>
        settingsOf(
          this.#traits,
          role === 'process' && this.#traits.staticMembers ? { instanceId: `static-${index}` } : {},
        ),
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

  /** No more trouble: now all has to come to rest. */
  #rest(trouble: Trouble): void {
    this.#active.abort();
    trouble.end();
    const look = async () => {
      await this.#audit.advance(new Set());
      if ((await this.#unrest()) === null) this.#isOver = true;
      else this.#time.schedule(() => void look(), 500);
    };
    this.#time.schedule(() => void look(), 500);
  }

  /** null: there is none. */
  async #unrest(): Promise<string | null> {
    const { ring, proposed, locks } = this.#audit.state;
    if (!ring) return 'there is no ring epoch';
    const [unanswered] = this.#audit.requests.unanswered;
    if (unanswered) return unanswered;
    const [held] = locks.keys();
    if (held) return `the lock on ${held} is held on`;
    const lags = await this.#port.admin.lag(this.#names.processGroup, this.#names.ingest('traces'));
    const [behind] = [...lags].find(([, lag]) => lag > 0n) ?? [];
    if (behind !== undefined) return `partition ${behind} of the traces is not drained`;
    if (proposed) return `ring epoch ${proposed.ring.epoch} is proposed, and not active`;
    return null;
  }

  async #giveUp(): Promise<void> {
    const unrest = await this.#unrest();
    if (unrest) this.#failures.push(`${REST_MS / 1_000} s after the last trouble: ${unrest}`);
    this.#isOver = true;
  }

  #count(what: string, times = 1): void {
    this.#happened[what] = (this.#happened[what] ?? 0) + times;
  }
}
