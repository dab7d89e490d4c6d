/** `weir inspect …`. */
import type { LagDocument, LocksDocument, MembersDocument, TopologyDocument } from '../api/documents.ts';
import { changeText, waitingChangesText } from './change-texts.ts';
import { decisionsText } from './decision-texts.ts';
import { ago, bytes, percent, rate } from './figures.ts';
import { shardsText } from './shard-texts.ts';
import { table } from './table.ts';
import { print, type ViewCommand, withView } from './with-view.ts';

export type InspectSubject = 'shards' | 'ring' | 'members' | 'locks' | 'decisions' | 'lag';

export interface InspectOptions extends ViewCommand {
  /** How many decisions to show. */
  readonly last: number;
}

export async function inspect(subject: InspectSubject, options: InspectOptions): Promise<void> {
  await withView(options, async (view) => {
    switch (subject) {
      case 'shards':
        return print(options, await view.shards(), shardsText);
      case 'ring':
        return print(options, await view.topology(), ringText);
      case 'members':
        return print(options, await view.members(), (document) => membersText(document, Date.now()));
      case 'locks':
        return print(options, await view.locks(), locksText);
      case 'decisions':
        return print(options, await view.decisions(options.last), decisionsText);
      case 'lag':
        return print(options, await view.lag(), lagText);
    }
  });
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

/** Keys that have an override or much of the load. */
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
  const gone = departed.length === 0 ? '' : `\n${table(departed.slice(0, MAX_DEPARTED).map(departedRow), DEPARTED)}`;
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

/** How many the table shows; the JSON has all. */
const MAX_DEPARTED = 10;
const DEPARTED = ['gone', 'role', 'member', 'version', 'last report', 'noted'];

function departedRow({ how, role, id, version, lastReport, at }: MembersDocument['departed'][number]) {
  return [how, role, id, version, lastReport ?? '-', at];
}

export function locksText({ locks, operations }: LocksDocument): string {
  const held = locks.map(({ resource, token, holder, since, operation, waiting }) => {
    return [resource, token, holder, since, operation ?? '-', waiting.length];
  });
  const ended = operations.slice(0, MAX_OPERATIONS).map(({ at, resource, holder, what, outcome, text }) => {
    return [at, resource, holder, what ?? '-', outcome, text === what ? '' : text];
  });
  const now = held.length === 0 ? 'No lock is held.\n' : table(held, HELD);
  return ended.length === 0 ? now : `${now}\n${table(ended, ENDED)}`;
}

/** How many the table shows; the JSON has all. */
const MAX_OPERATIONS = 10;
const HELD = ['lock', 'token', 'holder', 'since', 'operation', 'waiting'];
const ENDED = ['ended', 'lock', 'holder', 'operation', 'outcome', ''];

const placeText = ({ shard }: { shard: number | null }) => (shard === null ? 'all, by trace id' : `shard ${shard}`);

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
