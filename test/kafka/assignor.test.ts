import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AssignorMember, assign } from '../../src/kafka/assignor.ts';
import type { TopicPartition } from '../../src/kafka/port.ts';

const nameOf = ({ topic, partition }: TopicPartition) => `${topic}/${partition}`;

const topics = ['logs', 'metrics', 'spans'];
const counts = fc
  .array(fc.integer({ min: 0, max: 13 }), { minLength: topics.length, maxLength: topics.length })
  .map((numbers) => new Map(topics.map((topic, i) => [topic, numbers[i]!])));
const owned = fc.array(
  fc.record({ topic: fc.constantFrom(...topics, 'deleted'), partition: fc.integer({ min: 0, max: 15 }) }),
  { maxLength: 20 },
);
const membersOf = (subscription: fc.Arbitrary<string[]>) =>
  fc.uniqueArray(fc.record({ id: fc.string({ minLength: 1, maxLength: 3 }), topics: subscription, owned }), {
    selector: (member) => member.id,
    minLength: 1,
    maxLength: 7,
  });
const sameSubscription = membersOf(fc.constant(topics));
const anySubscription = membersOf(fc.subarray(topics));

function ownerOf(assignment: ReadonlyMap<string, readonly TopicPartition[]>): Map<string, string> {
  const owners = new Map<string, string>();
  for (const [id, partitions] of assignment) {
    for (const at of partitions) {
      expect(owners.has(nameOf(at)), `${nameOf(at)} given twice`).toBe(false);
      owners.set(nameOf(at), id);
    }
  }
  return owners;
}

describe('assign', () => {
  it('gives every partition that someone subscribes to, to exactly one of its subscribers', () => {
    fc.assert(
      fc.property(anySubscription, counts, (members, partitionCounts) => {
        const assignment = assign(members, partitionCounts);
        expect([...assignment.keys()].sort()).toEqual(members.map((member) => member.id).sort());
        const owners = ownerOf(assignment);
        for (const [topic, count] of partitionCounts) {
          const subscribers = members.filter((member) => member.topics.includes(topic)).map((member) => member.id);
          for (let partition = 0; partition < count; partition++) {
            const owner = owners.get(`${topic}/${partition}`);
            if (subscribers.length === 0) expect(owner).toBeUndefined();
            else expect(subscribers).toContain(owner);
            owners.delete(`${topic}/${partition}`);
          }
        }
        expect(owners.size).toBe(0);
      }),
    );
  });

  it('leaves nobody with two partitions more than a member who could take one of them', () => {
    fc.assert(
      fc.property(anySubscription, counts, (members, partitionCounts) => {
        const assignment = assign(members, partitionCounts);
        for (const giver of members) {
          for (const taker of members) {
            const couldTake = assignment.get(giver.id)!.some((at) => taker.topics.includes(at.topic));
            if (couldTake) {
              expect(assignment.get(giver.id)!.length).toBeLessThanOrEqual(assignment.get(taker.id)!.length + 1);
            }
          }
        }
      }),
    );
  });

  it('moves no more than balance asks for', () => {
    fc.assert(
      fc.property(sameSubscription, counts, (members, partitionCounts) => {
        const assignment = assign(members, partitionCounts);
        const claimed = new Set<string>();
        const kept: number[] = [];
        for (const member of [...members].sort((a, b) => (a.id < b.id ? -1 : 1))) {
          let count = 0;
          for (const at of member.owned) {
            if (at.partition >= (partitionCounts.get(at.topic) ?? 0) || claimed.has(nameOf(at))) continue;
            claimed.add(nameOf(at));
            count++;
          }
          kept.push(count);
        }
        const total = [...partitionCounts.values()].reduce((sum, count) => sum + count, 0);
        const low = Math.floor(total / members.length);
        // `total % members` members may have one more than `low`: they are best those who own that many already.
        let extra = total % members.length;
        let possible = 0;
        for (const count of kept.sort((a, b) => b - a)) {
          possible += Math.min(count, low + (extra-- > 0 ? 1 : 0));
        }
        const owners = ownerOf(assignment);
        const before = new Map<string, string>();
        for (const member of [...members].sort((a, b) => (a.id < b.id ? -1 : 1))) {
          for (const at of member.owned) if (!before.has(nameOf(at))) before.set(nameOf(at), member.id);
        }
        let stayed = 0;
        for (const [name, id] of owners) if (before.get(name) === id) stayed++;
        expect(stayed).toBe(possible);
      }),
    );
  });

  it('changes nothing when it is asked again about its own answer', () => {
    fc.assert(
      fc.property(anySubscription, counts, (members, partitionCounts) => {
        const first = assign(members, partitionCounts);
        const again = assign(
          members.map((member) => ({ ...member, owned: first.get(member.id)! })),
          partitionCounts,
        );
        expect(again).toEqual(first);
      }),
    );
  });

  it('does not depend on the order of the members', () => {
    fc.assert(
      fc.property(anySubscription, counts, (members, partitionCounts) => {
        const sorted = (answer: Map<string, TopicPartition[]>) => [...answer].sort(([a], [b]) => (a < b ? -1 : 1));
        expect(sorted(assign([...members].reverse(), partitionCounts))).toEqual(
          sorted(assign(members, partitionCounts)),
        );
      }),
    );
  });

  it('gives a member that joins a part of every topic, not one topic alone', () => {
    const partitionCounts = new Map(topics.map((topic) => [topic, 12]));
    const alone: AssignorMember[] = [{ id: 'a', topics, owned: [] }];
    const all = assign(alone, partitionCounts).get('a')!;
    const joined = assign(
      [
        { id: 'a', topics, owned: all },
        { id: 'b', topics, owned: [] },
      ],
      partitionCounts,
    ).get('b')!;
    const perTopic = topics.map((topic) => joined.filter((at) => at.topic === topic).length);
    expect(perTopic).toEqual([6, 6, 6]);
  });
});
