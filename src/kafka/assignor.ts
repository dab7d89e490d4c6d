/**
 * The assignment of a group's partitions to its members: balanced first, then sticky, then spread by topic. Pure and
 * deterministic, so every adapter and every member comes to the same answer.
 */
import type { TopicPartition } from './port.ts';

export interface AssignorMember {
  readonly id: string;
  /** Topics that the member subscribes to. It gets no partition of any other. */
  readonly topics: readonly string[];
  /** What it had in the last generation; kept where balance allows. */
  readonly owned: readonly TopicPartition[];
}

interface Share {
  readonly member: AssignorMember;
  readonly topics: ReadonlySet<string>;
  /** topic -> partitions, in order of arrival. */
  readonly byTopic: Map<string, number[]>;
  total: number;
}

/**
 * Gives every partition of a subscribed topic to exactly one member that subscribes to it.
 * Balanced: nobody has two more than a member who could take one of them. Sticky: only what balance asks for moves;
 * a partition that two members claim stays with the one whose id sorts first. Spread: what moves comes from the topic
 * of which the giver has most beside the taker, so that a new member does not end up with one signal alone.
 *
 * `partitionCounts`: topic -> number of partitions; a topic that is not in it has none.
 * Every member is in the answer, its partitions sorted by topic, then number.
 */
export function assign(
  members: readonly AssignorMember[],
  partitionCounts: ReadonlyMap<string, number>,
): Map<string, TopicPartition[]> {
  const shares = members
    .map((member) => ({ member, topics: new Set(member.topics), byTopic: new Map<string, number[]>(), total: 0 }))
    .sort((a, b) => compareText(a.member.id, b.member.id));

  const taken = keepOwned(shares, partitionCounts);
  for (const topic of [...partitionCounts.keys()].sort(compareText)) {
    for (let partition = 0; partition < partitionCounts.get(topic)!; partition++) {
      if (!taken.has(nameOf(topic, partition))) place(shares, topic, partition);
    }
  }
  while (moveOne(shares)) {
    // Each move lowers the sum of squares of the totals, so this ends.
  }

  return new Map(shares.map((share) => [share.member.id, sortedPartitions(share)]));
}

function keepOwned(shares: readonly Share[], partitionCounts: ReadonlyMap<string, number>): Set<string> {
  const taken = new Set<string>();
  for (const share of shares) {
    for (const { topic, partition } of share.member.owned) {
      const exists = partition >= 0 && partition < (partitionCounts.get(topic) ?? 0);
      const name = nameOf(topic, partition);
      if (!exists || !share.topics.has(topic) || taken.has(name)) continue;
      taken.add(name);
      give(share, topic, partition);
    }
  }
  return taken;
}

function place(shares: readonly Share[], topic: string, partition: number): void {
  let best: Share | undefined;
  for (const share of shares) {
    if (!share.topics.has(topic)) continue;
    const better =
      best === undefined ||
      share.total < best.total ||
      (share.total === best.total && countOf(share, topic) < countOf(best, topic));
    if (better) best = share;
  }
  if (best) give(best, topic, partition);
}

/** Moves one partition from a member to one that has at least two fewer; false when there is none such. */
function moveOne(shares: readonly Share[]): boolean {
  const byTotal = [...shares].sort((a, b) => b.total - a.total || compareText(a.member.id, b.member.id));
  for (const giver of byTotal) {
    for (let i = byTotal.length - 1; i >= 0; i--) {
      const taker = byTotal[i]!;
      if (giver.total < taker.total + 2) break;
      let topic: string | undefined;
      let most = Number.NEGATIVE_INFINITY;
      for (const [candidate, partitions] of giver.byTopic) {
        const surplus = partitions.length - countOf(taker, candidate);
        if (partitions.length > 0 && taker.topics.has(candidate) && surplus > most)
          [topic, most] = [candidate, surplus];
      }
      if (topic === undefined) continue;
      give(taker, topic, giver.byTopic.get(topic)!.pop()!);
      giver.total--;
      return true;
    }
  }
  return false;
}

function give(share: Share, topic: string, partition: number): void {
  const partitions = share.byTopic.get(topic);
  if (partitions) partitions.push(partition);
  else share.byTopic.set(topic, [partition]);
  share.total++;
}

const countOf = (share: Share, topic: string) => share.byTopic.get(topic)?.length ?? 0;
const nameOf = (topic: string, partition: number) => `${topic}/${partition}`;
/** By code unit, not by locale: every member must sort alike. */
const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

function sortedPartitions(share: Share): TopicPartition[] {
  return [...share.byTopic.keys()].sort(compareText).flatMap((topic) =>
    share.byTopic
      .get(topic)!
      .sort((a, b) => a - b)
      .map((partition) => ({ topic, partition })),
  );
}
