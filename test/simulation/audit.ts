/**
 * What must hold whatever happens, watched from outside after each step in which a transaction ended: the control log here, what was asked of the leader in
 * `request-audit.ts`, what it has decided in `decision-audit.ts`, the shards' records in `shard-audit.ts`. The audit has a connection of its own, on which nothing is lost.
 */
import { type ControlEvent, decodeEvent } from '../../src/coordination/events.ts';
import { decodeRequest } from '../../src/coordination/requests.ts';
import { readRingAcks, type WaitingPartition } from '../../src/coordination/ring-acks.ts';
import { type RingEpoch, ringEpochOf, slotOwners } from '../../src/coordination/ring-epoch.ts';
import { type ControlState, EMPTY_STATE, fold } from '../../src/coordination/state.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { BY_TRACE_ID } from '../../src/kernels/split/kernel.ts';
import type { Names } from '../../src/names.ts';
import { SIGNALS } from '../../src/signals.ts';
import { readAll } from '../coordination/cluster.ts';
import { DecisionAudit } from './decision-audit.ts';
import { type LogReader, readOn } from './read-on.ts';
import { RequestAudit } from './request-audit.ts';
import { ShardAudit } from './shard-audit.ts';

export class Audit {
  /** What did not hold, in words. */
  readonly violations: string[] = [];
  /** Every ring epoch that there was, in force or proposed. */
  readonly rings = new Map<number, RingEpoch>();
  readonly requests = new RequestAudit((what) => this.#violated(what));
  state: ControlState = EMPTY_STATE;
  /** What there was of what matters. */
  readonly #happened = {
    'leader changes': -1,
    'changes taken back': 0,
    'changes cut short': 0,
    'changes over leaders': 0,
    'items copied': 0,
  };
  readonly #port: KafkaPort;
  readonly #names: Names;
  readonly #control: LogReader;
  readonly #requests: LogReader;
  readonly #shards: ShardAudit;
  #proposedBy = 0;
  /** By partition of the traces. */
  readonly #adopted: number[] = [];
  /** Ring epoch that was known when a partition of the traces was added. */
  readonly #addedUnder = new Map<number, number>();
  readonly #decisions = new DecisionAudit((what) => this.#violated(what));

  constructor(port: KafkaPort, names: Names) {
    this.#port = port;
    this.#names = names;
    this.#control = port.reader({ topic: names.control, partition: 0 });
    this.#requests = port.reader({ topic: names.requests, partition: 0 });
    this.#shards = new ShardAudit(port, this.rings, (what) => this.#violated(what));
  }

  get happened(): Readonly<Record<string, number>> {
    const { accepted, refused } = this.requests.counts;
    return {
      ...this.#happened,
      ...this.#decisions.counts,
      'ring epochs': this.rings.size - 1,
      decisions: this.state.decisions.size,
      'writes under a token': accepted,
      'writes under an old token': refused,
    };
  }

  async begin(): Promise<void> {
    await this.#control.seek('earliest');
    await this.#requests.seek('earliest');
  }

  /** A partition of the traces that there was not before. */
  partitionAdded(partition: number): void {
    this.#addedUnder.set(partition, Math.max(0, ...this.rings.keys()));
  }

  /** Takes in what the logs have come to hold. `written`: topics that have perhaps more to be read than before. */
  async advance(written: ReadonlySet<string>): Promise<void> {
    await this.#checkAdopted();
    await readOn(this.#requests, async (poll, i) => {
      const decoded = decodeRequest(poll.value(i));
      if (decoded.kind === 'request') this.requests.hear(decoded.request);
    });
    await readOn(this.#control, async (poll, i) => {
      const offset = poll.offset(i);
      await this.#take(decodeEvent(poll.value(i), `the control log, offset ${offset}`), offset);
    });
    await this.#shards.advance(written);
  }

  /** A partition's ring epoch never goes down. */
  async #checkAdopted(): Promise<void> {
    const { processGroup, ingest } = this.#names;
    for (const { partition, metadata } of await this.#port.admin.committedOffsets(processGroup, ingest('traces'))) {
      const [before, epoch] = [this.#adopted[partition] ?? 0, ringEpochOf(metadata) ?? 0];
      if (epoch < before) this.#violated(`partition ${partition} goes from ring epoch ${before} back to ${epoch}`);
      this.#adopted[partition] = epoch;
    }
  }

  async #take(event: ControlEvent, offset: bigint): Promise<void> {
    const before = this.state;
    try {
      this.state = fold(before, event, offset);
    } catch (error) {
      this.#violated(`the control log cannot be folded at offset ${offset}: ${(error as Error).message}`);
      return;
    }
    this.#checkLeader(event, before, offset);
    this.requests.take(event, offset);
    this.#decisions.take(event);
    for (const ring of [this.state.ring, this.state.proposed?.ring]) if (ring) await this.#checkRing(ring);
    switch (event.type) {
      case 'LeaderElected':
        this.#happened['leader changes']++;
        break;
      case 'RingProposed':
        if (event.abandons !== undefined) this.#happened['changes taken back']++;
        this.#proposedBy = event.leaderEpoch;
        break;
      case 'RingActive':
        if (event.cutShort) this.#happened['changes cut short']++;
        if (event.leaderEpoch !== this.#proposedBy) this.#happened['changes over leaders']++;
        this.#happened['items copied'] += event.carried?.items ?? 0;
        await this.#shards.activated(event.epoch);
        if (before.proposed) {
          const adopted = await this.#checkAcks(event.epoch);
          this.#shards.changed(before.proposed, { cutShort: event.cutShort === true, adopted });
          this.#decisions.changed(before.proposed);
        }
    }
  }

  /** One leader's writes follow its LeaderElected, all of them, in their order, and nobody else's. */
  #checkLeader(event: ControlEvent, before: ControlState, offset: bigint): void {
    if (event.type === 'LeaderElected') return;
    const leader = before.leaders.get('control');
    const { leaderEpoch, sequence, type } = event;
    if (leader?.leaderEpoch !== leaderEpoch)
      this.#violated(
        `${type} at offset ${offset} is of the leader epoch ${leaderEpoch}, but ${leader?.leaderEpoch} leads`,
      );
    else if (sequence !== leader!.sequence + 1)
      this.#violated(`${type} at offset ${offset} is number ${sequence} of its leader, behind ${leader!.sequence}`);
  }

  /** How many partitions of the traces have adopted it: all, but for one that was added since it was proposed and that nobody has worked on yet. */
  async #checkAcks(epoch: number): Promise<number> {
    const { waiting } = await readRingAcks(this.#port.admin, this.#names, epoch);
    const ingest = this.#names.ingest('traces');
    const isNew = ({ topic, partition, ringEpoch }: WaitingPartition) =>
      topic === ingest && ringEpoch === null && (this.#addedUnder.get(partition) ?? 0) >= epoch;
    for (const of of waiting)
      if (!isNew(of))
        this.#violated(`ring epoch ${epoch} becomes active while ${of.topic}/${of.partition} is at ${of.ringEpoch}`);
    const partitions = (await this.#port.admin.offsets(ingest)).length;
    return partitions - waiting.filter(({ topic }) => topic === ingest).length;
  }

  async #checkRing(ring: RingEpoch): Promise<void> {
    const known = this.rings.get(ring.epoch);
    if (known === ring) return;
    if (known) this.#violated(`ring epoch ${ring.epoch} comes with other tables a second time`);
    this.rings.set(ring.epoch, ring);
    await this.#shards.follow(ring);
    for (const signal of SIGNALS) {
      const shards = new Set(ring.signals[signal].shards.map(({ id }) => id));
      const { slots, overrides } = ring.signals[signal];
      const owners = [...slotOwners(slots), ...overrides.values()].filter((owner) => owner !== BY_TRACE_ID);
      const strange = owners.filter((owner) => !shards.has(owner));
      if (strange.length > 0)
        this.#violated(`slots or keys of ${signal} are with ${strange}, no shards of ring epoch ${ring.epoch}`);
    }
  }

  /** When all has come to rest. `sent`: span ids. */
  async finish(sent: ReadonlySet<string>): Promise<void> {
    for (const what of this.requests.unanswered) this.#violated(what);
    this.#decisions.finish(await readAll(this.#port, this.#names.decisions));
    await this.#shards.finish(sent);
  }

  #violated(what: string): void {
    this.violations.push(what);
  }
}
