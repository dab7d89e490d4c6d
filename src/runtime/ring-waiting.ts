/** What a proposed ring epoch waits for, in sentences: for the log, the API and the command line. */
import type { WaitingPartition } from '../coordination/ring-acks.ts';
import type { LoadWindow } from './load-window.ts';

/** By `topic/partition`: the member that works on it, by its load reports. */
export function ownersOf(window: LoadWindow, nowUnixMs: number): ReadonlyMap<string, string> {
  return new Map(window.members(nowUnixMs).flatMap(({ id, partitions }) => partitions.map((at) => [at, id] as const)));
}

/** How many members a sentence names, and how many partitions of each. */
const MAX_OWNERS = 5;
const MAX_NAMED = 3;

/** By who works on them, so that everybody who holds a change up is named, however many partitions the first of them has. */
export function waitingText(waiting: readonly WaitingPartition[], owners: ReadonlyMap<string, string>): string {
  const byOwner = [...Map.groupBy(waiting, ({ topic, partition }) => owners.get(`${topic}/${partition}`))];
  const named = byOwner.slice(0, MAX_OWNERS).map(([owner, of]) => {
    return `${partitionsText(of)}, which ${owner ? `${owner} works on` : 'no processor reports to work on'}`;
  });
  const more = byOwner.length > MAX_OWNERS ? `; and for partitions of ${byOwner.length - MAX_OWNERS} more` : '';
  return `it waits for ${named.join('; for ')}${more}`;
}

function partitionsText(partitions: readonly WaitingPartition[]): string {
  const named = partitions.slice(0, MAX_NAMED).map(({ topic, partition, ringEpoch }) => {
    return `${topic}/${partition} (${ringEpoch === null ? 'no offset yet' : `at ${ringEpoch}`})`;
  });
  const more = partitions.length > MAX_NAMED ? ` and ${partitions.length - MAX_NAMED} more` : '';
  return `${named.join(', ')}${more}`;
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
  if (abandons === null) return 'See that processors work on them, or take the change back with `weir shards abandon`';
  return `See that processors work on them: this takes ring epoch ${abandons} back, and cannot itself be taken back`;
}
