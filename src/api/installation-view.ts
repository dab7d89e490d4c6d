/** The state of an installation, read from Kafka: control log, load reports, decisions, offsets. Stands behind the API, `weir inspect` and `weir shards`. */
import { hostname } from 'node:os';
import type { Config } from '../config.ts';
import { type Decision, decodeDecision } from '../control/decision.ts';
import { followControlLog } from '../coordination/control-log.ts';
import type { Asker } from '../coordination/locks.ts';
import { askLeader, type Request } from '../coordination/requests.ts';
import { readRingAcks } from '../coordination/ring-acks.ts';
import type { ControlState, ProposedRing } from '../coordination/state.ts';
import type { Wish } from '../coordination/wishes.ts';
import { WeirError } from '../errors.ts';
import type { KafkaPort, Poll } from '../kafka/port.ts';
import { createReferenceHash } from '../kernels/hash/reference.ts';
import type { Log } from '../log.ts';
import type { Names } from '../names.ts';
import { observe } from '../runtime/observe.ts';
import { tailPartition } from '../runtime/partition-tail.ts';
import { ownersOf } from '../runtime/ring-waiting.ts';
import type { ApiEvent, ApiView } from './api-view.ts';
import { type AcceptedDocument, type LeaderDocument, MAX_DECISIONS } from './documents.ts';
import { isoTime } from './iso-time.ts';
import { readLag } from './lag-document.ts';
import { lockDocuments } from './lock-documents.ts';
import { departedDocuments, memberChanges, memberDocuments } from './member-documents.ts';
import { ringChangeDocument, routeDocument, waitingChangeDocument } from './ring-documents.ts';
import { shardsDocument } from './shard-documents.ts';
import { signalDocuments } from './signal-documents.ts';

/** Offsets cost the brokers a request for each topic: an answer is given again for this long. */
const ANSWER_KEPT_MS = 1_000;

const hash = createReferenceHash();

export interface InstallationView extends ApiView {
  /** With this, locks and operations ask the leader. */
  readonly asker: Asker;
  /** `fence`: a lock under which it is asked. */
  ask(wish: Wish, options?: { signal?: AbortSignal; fence?: Request['fence'] }): Promise<AcceptedDocument>;
  close(): Promise<void>;
}

export interface InstallationViewOptions {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly config: Pick<Config, 'prefix' | 'control' | 'load'>;
  readonly log: Log;
  readonly now?: () => number;
}

/** Resolves once everything that Kafka holds now has been read. Throws TOPIC_MISSING when there is no such installation. */
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
      // When the status of a decision changes, it comes once more with the same id.
      const before = decisions.findIndex(({ id }) => id === decision.id);
      if (before >= 0) decisions[before] = decision;
      else decisions.push(decision);
      if (decisions.length > MAX_DECISIONS) decisions.shift();
      tell({ event: 'decision', data: decision });
    }
  };

  const [controlLog, load, decisionTail] = await Promise.all([
    followControlLog(port, names),
    // Only at debug: the controller warns of records that are no reports.
    observe(port, names, config, { now, log: (fields, text) => log.debug(fields, text) }),
    // Each decision takes two offsets: its own and its transaction's marker.
    tailPartition(port, { topic: names.decisions, partition: 0 }, 2 * MAX_DECISIONS, onDecisions),
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
    for (const data of memberChanges(shown, state)) tell({ event: 'member', data });
    shown = state;
  });

  const lag = keptFor(ANSWER_KEPT_MS, now, () => readLag(port, names));
  const asker: Asker = { port, names, log: controlLog, member: `${hostname()}-${process.pid}` };
  const acks = keptFor(ANSWER_KEPT_MS, now, (epoch: number) => readRingAcks(port.admin, names, epoch));
  const changeDocument = async (proposed: ProposedRing) => {
    const waits = await acks(proposed.ring.epoch);
    const { ackTimeoutMs } = config.control.ring;
    return ringChangeDocument(proposed, waits, ownersOf(window, now()), { ackTimeoutMs, nowUnixMs: now() });
  };
  return {
    asker,
    async topology() {
      const { ring, proposed, waitingChanges } = controlLog.state;
      return {
        prefix: config.prefix,
        kafka: port.description,
        ringEpoch: ring?.epoch ?? null,
        leader: leaderOf(controlLog.state),
        signals: signalDocuments(ring, names, window, now()),
        change: proposed && (await changeDocument(proposed)),
        waiting: waitingChanges.map(waitingChangeDocument),
      };
    },
    shards: async () => shardsDocument(controlLog.state.ring, window, config.control, now()),
    members: async () => ({
      windowSeconds: window.coveredSeconds(now()),
      leader: leaderOf(controlLog.state),
      members: memberDocuments(controlLog.state, window.members(now())),
      departed: departedDocuments(controlLog.state),
    }),
    services: async () => ({ windowSeconds: window.coveredSeconds(now()), services: window.services(now()) }),
    decisions: async (last) => ({ decisions: decisions.slice(-last).reverse() }),
    locks: async () => lockDocuments(controlLog.state),
    lag: () => lag(null),
    route: async (signal, key) => routeDocument(controlLog.state, signal, key, hash),
    async ask(wish, { signal, fence } = {}) {
      const { member } = asker;
      const { text, ringEpoch } = await askLeader(port, names, controlLog, wish, { member, signal, fence });
      return { text, ringEpoch: ringEpoch ?? null };
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

/** Gives the last answer again for a while, if the question is the same. Failures are not kept. */
function keptFor<Q, A>(ms: number, now: () => number, ask: (question: Q) => Promise<A>): (question: Q) => Promise<A> {
  let kept: { at: number; question: Q; answer: Promise<A> } | undefined;
  return (question) => {
    if (kept && kept.question === question && now() - kept.at <= ms) return kept.answer;
    const answer = ask(question);
    kept = { at: now(), question, answer };
    answer.catch(() => {
      kept = undefined;
    });
    return answer;
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
  return { member: leader.member, leaderEpoch: leader.leaderEpoch, since: isoTime(leader.since) };
}
