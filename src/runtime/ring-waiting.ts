/** What a proposed ring epoch waits for, for people: in the log, in the API and on the command line. */
import type { WaitingPartition } from '../coordination/ring-acks.ts';
import type { LoadWindow } from './load-window.ts';

/** `topic/partition` -> who says in its load reports that it works on it. */
export function ownersOf(window: LoadWindow, nowUnixMs: number): ReadonlyMap<string, string> {
  return new Map(window.members(nowUnixMs).flatMap(({ id, partitions }) => partitions.map((at) => [at, id] as const)));
}

/** Partitions that a sentence names. */
const MOST_NAMED = 5;

export function waitingText(waiting: readonly WaitingPartition[], owners: ReadonlyMap<string, string>): string {
  const named = waiting.slice(0, MOST_NAMED).map(({ topic, partition, ringEpoch }) => {
    const owner = owners.get(`${topic}/${partition}`) ?? 'no processor reports to work on it';
    return `${topic}/${partition} (${ringEpoch === null ? 'no offset yet' : `at ${ringEpoch}`}, ${owner})`;
  });
  const more = waiting.length > MOST_NAMED ? ` and ${waiting.length - MOST_NAMED} more` : '';
  return `it waits for ${named.join(', ')}${more}`;
}

/** What an operator can do about one that is stuck. `abandons`: as in the proposal. */
export function wayOutText({
  abandons,
  waitingFor,
}: {
  readonly abandons: number | null;
  readonly waitingFor: readonly unknown[];
}): string {
  if (waitingFor.length === 0) return '`weir shards abandon` ends the copying: what is left stays where it is';
  if (abandons === null) return 'See to those processors, or take the change back with `weir shards abandon`';
  return `See to those processors: this takes ring epoch ${abandons} back, and cannot itself be taken back`;
}
