/** The state of an installation as Kafka holds it: control log, load reports, decisions, offsets. Backs the API and `weir inspect`. */
import type { Config } from '../config.ts';
import { type Decision, decodeDecision } from '../control/decision.ts';
import { followControlLog } from '../coordination/control-log.ts';
import type { RingEpoch, SignalRing } from '../coordination/ring-epoch.ts';
import type { ControlState } from '../coordination/state.ts';
import { WeirError } from '../errors.ts';
import type { KafkaPort, Poll } from '../kafka/port.ts';
import { decodeLoadReport } from '../load/codec.ts';
import type { LoadReport } from '../load/load-report.ts';
import type { Log } from '../log.ts';
import type { Names } from '../names.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import type {
  ApiEvent,
  ApiView,
  LagDocument,
  LeaderDocument,
  MemberDocument,
  PartitionLagDocument,
  ShardDocument,
} from './documents.ts';
import { LoadWindow } from './load-window.ts';
import { tailPartition } from './partition-tail.ts';

/** Records from the end of `weir.load` to begin with: enough for the window of an installation of 50 members. */
const LOAD_RECORDS_BACK = 1_000;
/** Decisions kept. Each has its transaction's marker beside it on the topic. */
const MOST_DECISIONS = 200;
/** Asking for offsets costs the brokers a request a topic: within this time the same answer is given. */
const LAG_KEPT_MS = 1_000;

export interface InstallationView extends ApiView {
  close(): Promise<void>;
}

export interface InstallationViewOptions {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly config: Pick<Config, 'prefix' | 'control'>;
  readonly log: Log;
  readonly now?: () => number;
}

/** Throws TOPIC_MISSING when there is no such installation. Resolves once what Kafka holds now has been read. */
export async function openInstallationView(options: InstallationViewOptions): Promise<InstallationView> {
  const { port, names, config, log, now = Date.now } = options;
  await requireInstallation(port, names);
  const window = new LoadWindow(config.control.windowMs, now);
  const decisions: Decision[] = [];
  const listeners = new Set<(event: ApiEvent) => void>();
  const tell = (event: ApiEvent) => {
    for (const listener of listeners) listener(event);
  };

  const onLoad = (poll: Poll) => {
    for (const report of reportsOf(poll, log)) window.add(report);
  };
  const onDecisions = (poll: Poll) => {
    for (let i = 0; i < poll.count; i++) {
      const value = poll.value(i);
      const decision = value && decodeDecision(value);
      if (!decision) continue;
      decisions.push(decision);
      if (decisions.length > MOST_DECISIONS) decisions.shift();
      tell({ event: 'decision', data: decision });
    }
  };

  const [controlLog, loadTail, decisionTail] = await Promise.all([
    followControlLog(port, names),
    tailPartition(port, { topic: names.load, partition: 0 }, LOAD_RECORDS_BACK, onLoad),
    tailPartition(port, { topic: names.decisions, partition: 0 }, 2 * MOST_DECISIONS, onDecisions),
  ]);
  for (const source of [controlLog, loadTail, decisionTail])
    source.done.catch((err: unknown) => log.error({ err }, 'the API shows what it knew: reading on failed'));

  let shown = controlLog.state;
  controlLog.onChange((state) => {
    const [before, leader] = [leaderOf(shown), leaderOf(state)];
    if (leader && leader.leaderEpoch !== before?.leaderEpoch) tell({ event: 'leader', data: leader });
    if (state.ring && state.ring.epoch !== shown.ring?.epoch)
      tell({ event: 'ring', data: { ringEpoch: state.ring.epoch } });
    shown = state;
  });

  let lag: { at: number; document: Promise<LagDocument> } | undefined;
  return {
    topology: async () => ({
      prefix: config.prefix,
      kafka: port.description,
      ringEpoch: controlLog.state.ring?.epoch ?? null,
      leader: leaderOf(controlLog.state),
      signals: signalsOf(controlLog.state.ring, names),
    }),
    shards: async () => ({
      ringEpoch: controlLog.state.ring?.epoch ?? null,
      windowSeconds: window.seconds,
      shards: SIGNALS.flatMap((signal) => {
        const ring = controlLog.state.ring?.signals[signal];
        return ring ? shardsOf(signal, ring, window, config.control.rebalance) : [];
      }),
    }),
    members: async () => ({
      windowSeconds: window.seconds,
      leader: leaderOf(controlLog.state),
      members: membersOf(window),
    }),
    services: async () => ({ windowSeconds: window.seconds, services: window.services() }),
    decisions: async (last) => ({ decisions: decisions.slice(-last).reverse() }),
    lag: () => {
      if (!lag || now() - lag.at > LAG_KEPT_MS) {
        const document = readLag(port, names);
        lag = { at: now(), document };
        // A failure is not kept.
        document.catch(() => {
          lag = undefined;
        });
      }
      return lag.document;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      listeners.clear();
      await Promise.all([controlLog.close(), loadTail.close(), decisionTail.close()]);
    },
  };
}

async function requireInstallation(port: KafkaPort, names: Names): Promise<void> {
  const wanted = [names.control, names.load, names.decisions];
  const found = new Set((await port.admin.describeTopics(wanted)).map(({ name }) => name));
  const missing = wanted.filter((name) => !found.has(name));
  if (missing.length === 0) return;
  const prefix = names.prefix === '' ? 'without a prefix' : `with the prefix ${names.prefix}`;
  throw new WeirError(
    'TOPIC_MISSING',
    `${port.description} holds no installation ${prefix} (${missing.join(', ')} missing); start a role, run ` +
      '`weir topics --create`, or name the right --kafka and --prefix',
  );
}

function* reportsOf(poll: Poll, log: Log): Generator<LoadReport> {
  for (let i = 0; i < poll.count; i++) {
    const value = poll.value(i);
    try {
      const report = value && decodeLoadReport(value);
      if (report) yield report;
    } catch (err) {
      log.debug(
        { err, topic: poll.topic, offset: String(poll.offset(i)) },
        'a record that is no load report is left out',
      );
    }
  }
}

function leaderOf(state: ControlState): LeaderDocument | null {
  const leader = state.leaders.get('control');
  if (!leader) return null;
  return { member: leader.member, leaderEpoch: leader.leaderEpoch, since: new Date(leader.since).toISOString() };
}

function signalsOf(ring: RingEpoch | null, names: Names) {
  if (!ring) return [];
  return SIGNALS.map((signal) => {
    const { key, slots, shards, overrides } = ring.signals[signal];
    return {
      signal,
      key,
      ingestTopic: names.ingest(signal),
      slots: slots.length,
      shards: shards.length,
      overrides: [...overrides].map(([hash, shard]) => ({ keyHash: hex(hash), shard })),
    };
  });
}

// --- shards

type HotPolicy = Pick<Config['control']['rebalance'], 'hotRatio' | 'minBytesPerSecond'>;

export function shardsOf(signal: Signal, ring: SignalRing, window: LoadWindow, policy: HotPolicy): ShardDocument[] {
  const reported = window.reports().length > 0;
  const rates = window.shards(signal);
  const total = [...rates.values()].reduce((sum, rate) => sum + rate.bytesPerSecond, 0);
  const mean = total / ring.shards.length;
  // As the controller sees it: of a trickle nothing is hot.
  const hotFrom = total < policy.minBytesPerSecond ? Number.POSITIVE_INFINITY : policy.hotRatio;
  const owned = ownershipOf(ring);
  return ring.shards.map(({ id, name, topic, weight }) => {
    const { slots = 0, runs = [] } = owned.get(id) ?? {};
    const { itemsPerSecond = 0, bytesPerSecond = 0 } = rates.get(id) ?? {};
    const relative = mean === 0 ? 0 : bytesPerSecond / mean;
    const health = !reported ? 'unknown' : itemsPerSecond === 0 ? 'idle' : relative > hotFrom ? 'hot' : 'healthy';
    return {
      id,
      name,
      signal,
      topic,
      slots,
      share: slots / ring.slots.length,
      range: { start_key: runs[0]?.[0] ?? null, end_key: runs.at(-1)?.[1] ?? null, hash_range: runs },
      capacity: weight,
      current_load: { items_per_second: itemsPerSecond, bytes_per_second: bytesPerSecond, relative },
      health_status: health,
    };
  });
}

interface Ownership {
  slots: number;
  /** Of key hashes, both ends included. */
  runs: [first: string, last: string][];
}

/** A ring never changes, and going through a table takes a millisecond: once a ring. */
const ownerships = new WeakMap<SignalRing, ReadonlyMap<number, Ownership>>();

function ownershipOf(ring: SignalRing): ReadonlyMap<number, Ownership> {
  const known = ownerships.get(ring);
  if (known) return known;
  const owned = new Map<number, Ownership>();
  const shift = BigInt(64 - ring.slotBits);
  for (let first = 0; first < ring.slots.length; ) {
    const shard = ring.slots[first]!;
    let end = first + 1;
    while (end < ring.slots.length && ring.slots[end] === shard) end++;
    const ownership = owned.get(shard) ?? { slots: 0, runs: [] };
    ownership.slots += end - first;
    ownership.runs.push([hex(BigInt(first) << shift), hex((BigInt(end) << shift) - 1n)]);
    owned.set(shard, ownership);
    first = end;
  }
  ownerships.set(ring, owned);
  return owned;
}

const hex = (hash: bigint): string => hash.toString(16).padStart(16, '0');

// --- members

function membersOf(window: LoadWindow): MemberDocument[] {
  const { seconds } = window;
  const byMember = Map.groupBy(window.reports(), ({ reporter }) => reporter.id);
  return [...byMember]
    .map(([id, reports]) => {
      const newest = reports.reduce((a, b) => (b.toUnixMs >= a.toUnixMs ? b : a));
      const shards = reports.flatMap(({ signals }) => signals.flatMap((load) => load.shards));
      // Told every few seconds only.
      const lagAt = Math.max(...reports.filter(({ lag }) => lag.length > 0).map(({ toUnixMs }) => toUnixMs));
      const partitions = reports
        .filter(({ toUnixMs }) => toUnixMs === lagAt)
        .flatMap(({ lag }) => lag.map(({ topic, partition }) => `${topic}/${partition}`));
      return {
        id,
        role: newest.reporter.role,
        version: newest.reporter.version,
        lastReport: new Date(newest.toUnixMs).toISOString(),
        ringEpoch: newest.ringEpoch,
        partitions,
        itemsPerSecond: shards.reduce((sum, { items }) => sum + items, 0) / seconds,
        bytesPerSecond: shards.reduce((sum, { bytes }) => sum + bytes, 0) / seconds,
      };
    })
    .sort((a, b) => a.role.localeCompare(b.role) || a.id.localeCompare(b.id));
}

// --- lag

/** Asks the brokers. Ingest topics that do not exist are left out. */
export async function readLag(port: KafkaPort, names: Names): Promise<LagDocument> {
  const { admin } = port;
  const group = names.processGroup;
  const topics = await admin.describeTopics(SIGNALS.map((signal) => names.ingest(signal)));
  const partitions = await Promise.all(
    topics.map(async ({ name: topic }): Promise<PartitionLagDocument[]> => {
      const [committed, offsets, lag] = await Promise.all([
        admin.committedOffsets(group, topic),
        admin.offsets(topic),
        admin.lag(group, topic),
      ]);
      return offsets.map(({ partition, latest }) => {
        const at = committed.find((candidate) => candidate.partition === partition);
        const ring = /(?:^|[;, ])ring=(\d+)/.exec(at?.metadata ?? '')?.[1];
        return {
          topic,
          partition,
          committed: at?.offset == null ? null : Number(at.offset),
          latest: Number(latest),
          records: Number(lag.get(partition) ?? 0n),
          ringEpoch: ring === undefined ? null : Number(ring),
        };
      });
    }),
  );
  const all = partitions.flat().sort((a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition);
  return { group, totalRecords: all.reduce((sum, { records }) => sum + records, 0), partitions: all };
}
