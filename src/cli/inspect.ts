/** `weir inspect …`: reads Kafka itself, so it works without a running API. */
import type {
  ApiView,
  DecisionsDocument,
  LagDocument,
  LocksDocument,
  MembersDocument,
  TopologyDocument,
} from '../api/documents.ts';
import { openInstallationView } from '../api/installation-view.ts';
import type { Config } from '../config.ts';
import type { CapacityDecision, Decision, HotKeyDecision, RebalanceDecision } from '../control/decision.ts';
import { openRunningKafka } from '../kafka/connect.ts';
import type { Log } from '../log.ts';
import { namesFor } from '../names.ts';
import { changeText, waitingChangesText } from './change-texts.ts';
import { ago, bytes, percent, rate } from './figures.ts';
import { shardsText } from './shard-texts.ts';
import { table } from './table.ts';

export type InspectSubject = 'shards' | 'ring' | 'members' | 'locks' | 'decisions' | 'lag';

export interface InspectOptions {
  readonly config: Config;
  readonly log: Log;
  readonly stdout: { write(text: string): unknown };
  readonly json: boolean;
  /** Decisions to show. */
  readonly last: number;
}

/** JSON is the document of the API (src/api/documents.ts). */
export async function inspect(
  subject: InspectSubject,
  { config, log, stdout, json, last }: InspectOptions,
): Promise<void> {
  const kafka = await openRunningKafka(config, log);
  try {
    const view = await openInstallationView({ port: kafka.port, names: namesFor(config.prefix), config, log });
    try {
      const { document, text } = await show(subject, view, last);
      stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : text);
    } finally {
      await view.close();
    }
  } finally {
    await kafka.close();
  }
}

async function show(
  subject: InspectSubject,
  view: ApiView,
  last: number,
): Promise<{ document: unknown; text: string }> {
  switch (subject) {
    case 'shards': {
      const document = await view.shards();
      return { document, text: shardsText(document) };
    }
    case 'ring': {
      const document = await view.topology();
      return { document, text: ringText(document) };
    }
    case 'members': {
      const document = await view.members();
      return { document, text: membersText(document, Date.now()) };
    }
    case 'locks': {
      const document = await view.locks();
      return { document, text: locksText(document) };
    }
    case 'decisions': {
      const document = await view.decisions(last);
      return { document, text: decisionsText(document) };
    }
    case 'lag': {
      const document = await view.lag();
      return { document, text: lagText(document) };
    }
  }
}

export function ringText({ kafka, prefix, ringEpoch, leader, signals, change, waiting }: TopologyDocument): string {
  const lines = [
    `Kafka       ${kafka}`,
    `prefix      ${prefix === '' ? '(none)' : prefix}`,
    `ring epoch  ${ringEpoch ?? 'none yet'}`,
    `leader      ${leader ? `${leader.member} since ${leader.since} (leader epoch ${leader.leaderEpoch})` : 'none yet'}`,
  ];
  const head = ['signal', 'topic', 'key', 'shards', 'slots', 'overrides'];
  const rows = signals.map((of) => [of.signal, of.ingestTopic, of.key, of.shards, of.slots, of.overrides.length]);
  const shown = ringEpoch === null ? '' : `\n${table(rows, head)}${keysText(signals)}`;
  return `${lines.join('\n')}\n${shown}${change ? changeText(change) : ''}${waitingChangesText(waiting)}`;
}

/** Keys that have an override, or much of the load. */
function keysText(signals: TopologyDocument['signals']): string {
  const rows = signals.flatMap(({ signal, overrides, heavyKeys }) => {
    const overridden = new Map(overrides.map(({ keyHash, key, shard }) => [keyHash, { key, shard }]));
    const light = overrides.filter(({ keyHash }) => !heavyKeys.some((heavy) => heavy.keyHash === keyHash));
    return [
      ...heavyKeys.map(({ keyHash, key, share, relative }) => {
        const override = overridden.get(keyHash);
        return [signal, key || '-', keyHash, percent(share), relative.toFixed(2), override ? placeText(override) : '-'];
      }),
      ...light.map(({ keyHash, key, shard }) => [signal, key || '-', keyHash, '-', '-', placeText({ shard })]),
    ];
  });
  return rows.length === 0 ? '' : `\n${table(rows, ['signal', 'key', 'hash', 'load', 'x mean', 'override to'])}`;
}

export function membersText({ leader, members, departed }: MembersDocument, nowUnixMs: number): string {
  const isHeard = members.some(({ id }) => id === leader?.member);
  const silent = isHeard ? '' : '; it has not reported lately: see that a `weir control` runs';
  const led = leader ? `Leader: ${leader.member} since ${leader.since}${silent}\n` : 'There is no leader yet.\n';
  const gone = departed.length === 0 ? '' : `\n${table(departed.slice(0, MOST_DEPARTED).map(departedRow), DEPARTED)}`;
  if (members.length === 0) return `${led}No member has reported load lately.\n${gone}`;
  const rows = members.map((of) => [
    of.role,
    of.id,
    of.version,
    of.cpuCores === null ? '-' : percent(of.cpuCores),
    of.memoryBytes === null ? '-' : bytes(of.memoryBytes),
    of.ringEpoch === 0 ? '-' : of.ringEpoch,
    of.partitions.length,
    rate(of.itemsPerSecond),
    bytes(of.bytesPerSecond),
    ago(of.lastReport, nowUnixMs),
  ]);
  const head = [
    'role',
    'member',
    'version',
    'CPU',
    'memory',
    'ring',
    'partitions',
    'items/s',
    'bytes/s',
    'last report',
  ];
  return `${led}${table(rows, head)}${gone}`;
}

/** All of them are in the JSON. */
const MOST_DEPARTED = 10;
const DEPARTED = ['gone', 'role', 'member', 'version', 'last report', 'noted'];

function departedRow({ how, role, id, version, lastReport, at }: MembersDocument['departed'][number]) {
  return [how, role, id, version, lastReport ?? '-', at];
}

export function locksText({ locks, operations }: LocksDocument): string {
  const held = locks.map(({ resource, token, holder, since, operation, waiting }) => {
    return [resource, token, holder, since, operation ?? '-', waiting.length];
  });
  const ended = operations.slice(0, MOST_OPERATIONS).map(({ at, resource, holder, what, outcome, text }) => {
    return [at, resource, holder, what ?? '-', outcome, text === what ? '' : text];
  });
  const now = held.length === 0 ? 'No lock is held.\n' : table(held, HELD);
  return ended.length === 0 ? now : `${now}\n${table(ended, ENDED)}`;
}

/** All of them are in the JSON. */
const MOST_OPERATIONS = 10;
const HELD = ['lock', 'token', 'holder', 'since', 'operation', 'waiting'];
const ENDED = ['ended', 'lock', 'holder', 'operation', 'outcome', ''];

function keyText({ action, key, keyHash, share, toShard }: HotKeyDecision): string {
  const named = `key ${key || keyHash} (${percent(share)} of the load)`;
  if (action === 'isolate_key') return `give ${named} shard ${toShard} for itself`;
  if (action === 'spread_key') return `spread ${named} over all shards by trace id`;
  return `let ${named} go by its slot again, to shard ${toShard}`;
}

const placeText = ({ shard }: { shard: number | null }) => (shard === null ? 'all, by trace id' : `shard ${shard}`);

/** Oldest first, as in a log. */
export function decisionsText({ decisions }: DecisionsDocument): string {
  if (decisions.length === 0) return 'No decision yet.\n';
  return [...decisions]
    .reverse()
    .map((of) => {
      const priority = of.priority === 'high' ? ' [high]' : '';
      const left = of.notApplied === undefined ? '' : `    not carried out: ${of.notApplied}\n`;
      return `${of.at}  ${of.kind}  ${of.subject}: ${whatText(of)}${priority}  (${of.status})\n    ${someOf(of.reasons)}\n${left}`;
    })
    .join('');
}

/** Texts that a line shows; the JSON has all. */
const MOST_TEXTS = 3;

function someOf(of: readonly { readonly text: string }[]): string {
  const shown = of.slice(0, MOST_TEXTS).map(({ text }) => text);
  return [...shown, ...(of.length > MOST_TEXTS ? [`and ${of.length - MOST_TEXTS} more`] : [])].join('; ');
}

function whatText(of: Decision): string {
  switch (of.kind) {
    case 'scaling':
      return `${of.action === 'scale_out' ? 'scale out' : 'scale in'} from ${of.from} to ${of.to}`;
    case 'rebalance':
      return rebalanceText(of);
    case 'capacity':
      return capacityText(of);
    case 'hot_key':
      return keyText(of);
  }
}

function rebalanceText({ action, from, to, slotsMoved, reverses, unmovable }: RebalanceDecision): string {
  const hottest = `hottest shard from ${from.toFixed(2)} to ${to.toFixed(2)} times its fair share`;
  switch (action) {
    case 'reverse':
      return `take back the ${slotsMoved} slots of ${reverses}, ${hottest}`;
    case 'move_slots':
      return `move ${slotsMoved} slots, ${hottest}`;
    case 'cannot_balance':
      return `cannot be balanced by moving slots (hottest shard ${from.toFixed(2)} times its fair share): ${someOf(unmovable)}`;
  }
}

function capacityText({ action, shard, from, to, shards, slotsMoved, moves, alternatives }: CapacityDecision): string {
  const fuller = `from ${from.toFixed(2)} to ${to.toFixed(2)} times what it can carry`;
  switch (action) {
    case 'split':
      return `split shard ${shard}, ${fuller}: ${slotsMoved} slots of ${moves.length} go to a new one, ${shards.after} shards`;
    case 'merge':
      return `share shard ${shard} out among ${moves.length} others, the fullest ${fuller}: ${slotsMoved} slots move, ${shards.after} shards`;
    case 'cannot_split':
      return `shard ${shard} has ${from.toFixed(2)} times what it can carry and is not split: ${someOf(alternatives)}`;
  }
}

export function lagText({ group, totalRecords, partitions }: LagDocument): string {
  const rows = partitions.map((of) => [
    of.topic,
    of.partition,
    of.committed ?? '-',
    of.latest,
    of.records,
    of.ringEpoch ?? '-',
  ]);
  const head = ['topic', 'partition', 'committed', 'latest', 'lag', 'ring'];
  return `Group ${group}: ${totalRecords} records behind\n${table(rows, head)}`;
}
