/** Processors and controllers as their roles compose them, and who works under locks, each on a connection of its own, that can be killed and come back as another member. */
import type { Config } from '../../src/config.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import type { Kernels } from '../../src/kernels/index.ts';
import type { Log } from '../../src/log.ts';
import type { Metrics } from '../../src/metrics.ts';
import type { Names } from '../../src/names.ts';
import { startProcessPart } from '../../src/roles/process-part.ts';
import { startController } from '../../src/runtime/controller.ts';
import type { TopicFacts } from '../../src/topics/ensure-topics.ts';
import { startLockClient } from './lock-client.ts';
import type { Network } from './network.ts';
import { Member, type VirtualTime } from './virtual-time.ts';

export interface Surroundings {
  readonly time: VirtualTime;
  readonly network: Network;
  readonly names: Names;
  readonly topics: TopicFacts;
  readonly metrics: Metrics;
  readonly log: Log;
  /** See Traits. */
  readonly lockEveryMs: number;
  /** Aborted when there is to be rest: no locks are taken any more. */
  readonly active: AbortSignal;
  kernels(): Kernels;
  configFor(seat: Seat): Config;
  /** What stands between a member and its connection: load reports that come twice, planted bugs. */
  wrap(port: KafkaPort, seat: Seat): KafkaPort;
  /** A member could not go on: its process would have ended with this. */
  onFailure(member: string, error: unknown): void;
}

interface Running {
  readonly member: Member;
  /** null: still starting. */
  part: { close(): Promise<void> } | null;
  /** Its role, too, does not look any more at what then becomes of `done`. */
  isStopping: boolean;
}

/** Where one member after the other works. */
export class Seat {
  readonly role: 'process' | 'control' | 'client';
  readonly index: number;
  readonly #surroundings: Surroundings;
  #running: Running | null = null;
  #starts = 0;

  constructor(role: Seat['role'], index: number, surroundings: Surroundings) {
    this.role = role;
    this.index = index;
    this.#surroundings = surroundings;
  }

  get member(): Member | null {
    return this.#running?.member ?? null;
  }

  start(): void {
    const { time, network, onFailure } = this.#surroundings;
    const member = new Member(`${this.role}-${this.index}.${++this.#starts}`);
    const running: Running = { member, part: null, isStopping: false };
    this.#running = running;
    const fail = (error: unknown) => member.isDead || running.isStopping || onFailure(member.name, error);
    time.as(member, () => {
      const port = this.#surroundings.wrap(network.connect(member), this);
      this.#open(port, member.name).then((part) => {
        running.part = part;
        part.done.catch(fail);
      }, fail);
    });
  }

  /** As SIGKILL does: nothing of it happens any more, and nobody is told. */
  kill(): void {
    if (this.#running) this.#running.member.isDead = true;
    this.#running = null;
  }

  /** As SIGTERM does. Resolves when the member has ended in order; `false`: it did not come to that. */
  async stop(): Promise<boolean> {
    const running = this.#running;
    // Nobody asks a process twice: the first time it is on its way.
    if (!running?.part || running.isStopping) return false;
    const { part, member } = running;
    running.isStopping = true;
    await this.#surroundings.time.as(member, () => part.close());
    member.isDead = true;
    if (this.#running !== running) return false;
    this.#running = null;
    return true;
  }

  async #open(port: KafkaPort, name: string): Promise<{ readonly done: Promise<unknown>; close(): Promise<void> }> {
    const { names, topics, metrics, log, kernels } = this.#surroundings;
    const config = this.#surroundings.configFor(this);
    const shared = { names, metrics, log: log.child({ member: name }), config, kernels: kernels() };
    if (this.role === 'client') {
      const { time, lockEveryMs, active: until } = this.#surroundings;
      return startLockClient({ port, names, member: name, random: time.random, everyMs: lockEveryMs, until });
    }
    if (this.role === 'control') return startController({ ...shared, port, memberName: name });
    const kafka = {
      port,
      kind: 'memory',
      brokers: 'memory',
      embedded: false,
      // Of its own: what waits for one that all members have is kept for ever.
      lost: new Promise<never>(() => {}),
      close: () => port.close(),
    } as const;
    const { signal } = new AbortController();
    return startProcessPart({ ...shared, kafka, topics, member: name, stdout: process.stdout, signal });
  }
}
