/** A change of the ring that is in flight, and those that wait behind it, for people. */
import type { RingChangeDocument, TopologyDocument } from '../api/documents.ts';
import { wishText } from '../coordination/wishes.ts';
import { waitingText, wayOutText } from '../runtime/ring-waiting.ts';
import { table } from './table.ts';

export function changeText(change: RingChangeDocument): string {
  const { ringEpoch, stuck, reason, proposedAt, signals, partitions, waitingFor } = change;
  const what = signals.map(({ signal, slotsMoved, added, retired }) =>
    [
      `${signal}: ${slotsMoved} slots move`,
      ...(added.length > 0 ? [`new shards ${added.join(', ')}`] : []),
      ...(retired.length > 0 ? [`retired shards ${retired.join(', ')}`] : []),
    ].join(', '),
  );
  return [
    `\nRing epoch ${ringEpoch} is ${stuck ? 'STUCK, ' : ''}in flight since ${proposedAt}: ${reason}.`,
    ...what.map((line) => `  ${line}`),
    `  ${partitions - waitingFor.length} of ${partitions} input partitions have adopted it; ${changeWaits(change)}`,
    ...(stuck ? [`  ${wayOutText(change)}.`] : []),
    '',
  ].join('\n');
}

export function changeWaits({ waitingFor }: Pick<RingChangeDocument, 'waitingFor'>): string {
  if (waitingFor.length === 0) return 'it waits for the leader: what goes with it is copied, then it is active';
  const owners = new Map(
    waitingFor.flatMap(({ topic, partition, member }) => (member ? [[`${topic}/${partition}`, member]] : [])),
  );
  return waitingText(waitingFor, owners);
}

export function waitingChangesText(waiting: TopologyDocument['waiting']): string {
  if (waiting.length === 0) return '';
  const rows = waiting.map(({ wish, member, since, until, id }) => [wishText(wish), member, since, until, id]);
  return `\nWaiting, the next one first (weir shards cancel ID):\n${table(rows, ['change', 'asked by', 'since', 'lapses', 'id'])}`;
}
