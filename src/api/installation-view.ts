/** The state of an installation as Kafka holds it: control log, load reports, decisions, offsets. Backs the API and `weir inspect`. */
import type { Config } from '../config.ts';
import { type Decision, decodeDecision } from '../control/decision.ts';
import { followControlLog } from '../coordination/control-log.ts';
import type { RingEpoch } from '../coordination/ring-epoch.ts';
import type { ControlState } from '../coordination/state.ts';
import { WeirError } from '../errors.ts';
import type { KafkaPort, Poll } from '../kafka/port.ts';
import type { Log } from '../log.ts';
import type { Names } from '../names.ts';
import { observe } from '../runtime/observe.ts';
import { tailPartition } from '../runtime/partition-tail.ts';
import type { MemberView } from '../runtime/reporting-members.ts';
import { SIGNALS } from '../signals.ts';
import type {
  ApiEvent,
  ApiView,
  LagDocument,
  LeaderDocument,
  MemberDocument,
  PartitionLagDocument,
} from './documents.ts';
import { hashText, shardDocuments } from './shard-documents.ts';

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
  readonly config: Pick<Config, 'prefix' | 'control' | 'load'>;
  readonly log: Log;
  readonly now?: () => number;
}

/** Throws TOPIC_MISSING when there is no such installation. Resolves once what Kafka holds now has been read. */
export async function openInstallationView(options: InstallationViewOptions): Promise<InstallationView> {
  const { port, names, config, log, now = Date.now } = options;
  await requireInstallation(port, names);
  const decisions: Decision[] = [];
  const listeners = new Set<(event: ApiEvent) => void>();
  const tell = (event: ApiEvent) => {
    for (const listener of listeners) listener(event);
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

  const [controlLog, load, decisionTail] = await Promise.all([
    followControlLog(port, names),
    // At debug: of what is no report the controller warns already.
    observe(port, names, config, { now, log: (fields, text) => log.debug(fields, text) }),
    tailPartition(port, { topic: names.decisions, partition: 0 }, 2 * MOST_DECISIONS, onDecisions),
  ]);
  const { window } = load;
  for (const source of [controlLog, load, decisionTail])
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
      windowSeconds: window.coveredSeconds(now()),
      shards: shardDocuments(controlLog.state.ring, window, config.control.rebalance, now()),
    }),
    members: async () => ({
      windowSeconds: window.coveredSeconds(now()),
      leader: leaderOf(controlLog.state),
      members: window.members(now()).map(memberDocument).sort(byRoleAndId),
    }),
    services: async () => ({ windowSeconds: window.coveredSeconds(now()), services: window.services(now()) }),
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
      await Promise.all([controlLog.close(), load.close(), decisionTail.close()]);
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
      overrides: [...overrides].map(([hash, shard]) => ({ keyHash: hashText(hash), shard })),
    };
  });
}

function memberDocument({ id, role, version, lastHeardUnixMs, ...rest }: MemberView): MemberDocument {
  return { id, role, version, lastReport: new Date(lastHeardUnixMs).toISOString(), ...rest };
}

const byRoleAndId = (a: MemberDocument, b: MemberDocument): number =>
  a.role.localeCompare(b.role) || a.id.localeCompare(b.id);

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
