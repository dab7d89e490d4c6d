/** What all clients of one in-process log share. */
import { type Clock, realClock } from './clock.ts';
import { GroupCoordinator } from './groups.ts';
import { GroupOffsets } from './offsets.ts';
import { Topics } from './topics.ts';
import { TransactionCoordinator } from './transactions.ts';

export interface Broker {
  readonly clock: Clock;
  readonly topics: Topics;
  readonly offsets: GroupOffsets;
  readonly transactions: TransactionCoordinator;
  readonly groups: GroupCoordinator;
  /** A name that no other member has or had. */
  newMemberId(): string;
}

export function createBroker(maxBytes: number, clock: Clock = realClock): Broker {
  const topics = new Topics(clock, maxBytes);
  const offsets = new GroupOffsets();
  let members = 0;
  return {
    clock,
    topics,
    offsets,
    transactions: new TransactionCoordinator(clock, topics, offsets),
    groups: new GroupCoordinator(clock, topics),
    newMemberId: () => `member-${String(++members).padStart(6, '0')}`,
  };
}
