import { beforeEach, describe, expect, it } from 'vitest';
import { createFaults, createMemoryKafka, type MemoryKafka } from '../../../src/kafka/memory/index.ts';
import type { AssignedPartition, GroupMember, KafkaPort } from '../../../src/kafka/port.ts';
import { SimulatedClock } from './simulated-clock.ts';

const SESSION_MS = 10_000;
const HEARTBEAT_MS = 1_000;

interface Joined {
  readonly member: GroupMember;
  readonly troubles: Error[];
  readonly partitions: AssignedPartition[];
  /** Partition numbers that it holds. */
  held(): number[];
  memberId(): string;
}

describe('groups in simulated time', () => {
  let clock: SimulatedClock;
  let kafka: MemoryKafka;

  beforeEach(async () => {
    clock = new SimulatedClock();
    kafka = createMemoryKafka(clock);
    await kafka.connect().admin.createTopics([{ name: 't', partitions: 4, config: {} }]);
  });

  function join(port: KafkaPort, run?: (partition: AssignedPartition) => Promise<void>, instanceId?: string): Joined {
    const partitions: AssignedPartition[] = [];
    const troubles: Error[] = [];
    let memberId = '';
    const member = port.joinGroup(
      {
        groupId: 'g',
        topics: ['t'],
        sessionTimeoutMs: SESSION_MS,
        heartbeatIntervalMs: HEARTBEAT_MS,
        rebalanceTimeoutMs: 30_000,
        ...(instanceId && { instanceId }),
      },
      {
        async run(partition) {
          partitions.push(partition);
          if (run) return run(partition);
          if (partition.signal.aborted) return;
          await new Promise<void>((resolve) => partition.signal.addEventListener('abort', () => resolve()));
        },
        onGeneration: (generation) => {
          memberId = generation.memberId;
        },
        onTrouble: (cause) => troubles.push(cause),
      },
    );
    const held = () =>
      partitions
        .filter(({ signal }) => !signal.aborted)
        .map(({ partition }) => partition)
        .sort();
    return { member, troubles, partitions, held, memberId: () => memberId };
  }

  it('settle at once for the first member, and at a heartbeat when another joins', async () => {
    const first = join(kafka.connect());
    await clock.settle();
    expect(first.held()).toEqual([0, 1, 2, 3]);
    const second = join(kafka.connect());
    await clock.settle();
    expect(second.held()).toEqual([]);
    await clock.advance(HEARTBEAT_MS);
    expect([...first.held(), ...second.held()].sort()).toEqual([0, 1, 2, 3]);
    expect(second.held().length).toBe(2);
    expect(first.partitions.at(-1)!.generation).toBe(2);
  });

  it('find a client that was closed without leaving only after its session', async () => {
    const vanishing = kafka.connect();
    const gone = join(vanishing);
    const stays = join(kafka.connect());
    await clock.advance(2 * HEARTBEAT_MS);
    expect(stays.held().length).toBe(2);
    await vanishing.close();
    await gone.member.done;
    expect(gone.held()).toEqual([]);
    await clock.advance(SESSION_MS - 2 * HEARTBEAT_MS);
    expect(stays.held().length).toBe(2);
    await clock.advance(3 * HEARTBEAT_MS);
    expect(stays.held()).toEqual([0, 1, 2, 3]);
  });

  it('take a member that is paused for one that is gone; woken up it finds its partitions lost, and joins anew', async () => {
    const faults = createFaults();
    const sleeper = join(kafka.connect(faults.intercept));
    await clock.settle();
    const before = sleeper.memberId();
    const resume = faults.stall();
    const other = join(kafka.connect());
    await clock.advance(SESSION_MS + 2 * HEARTBEAT_MS);
    expect(other.held()).toEqual([0, 1, 2, 3]);
    // Nobody told it, but its own clock says that nobody answered for a whole session.
    expect(sleeper.held()).toEqual([]);
    resume();
    await clock.advance(2 * HEARTBEAT_MS);
    expect(sleeper.held().length).toBe(2);
    expect(sleeper.memberId()).not.toBe(before);
  });

  it('give a static member that is started again what it had, at once; one that is missed for a session is out', async () => {
    const vanishing = kafka.connect();
    const gone = join(vanishing, undefined, 'one');
    await clock.settle();
    const stays = join(kafka.connect());
    await clock.advance(2 * HEARTBEAT_MS);
    const [had, kept] = [gone.held(), stays.held()];
    await vanishing.close();
    const second = kafka.connect();
    const again = join(second, undefined, 'one');
    await clock.settle();
    expect(again.held()).toEqual(had);
    expect(stays.held()).toEqual(kept);
    await second.close();
    await clock.advance(SESSION_MS + 2 * HEARTBEAT_MS);
    expect(stays.held()).toEqual([0, 1, 2, 3]);
  });

  it('end a static member that wakes up to find another process in its place, and leave that one alone', async () => {
    const faults = createFaults();
    const sleeper = join(kafka.connect(faults.intercept), undefined, 'one');
    await clock.settle();
    const resume = faults.stall();
    await clock.advance(SESSION_MS + 2 * HEARTBEAT_MS);
    const successor = join(kafka.connect(), undefined, 'one');
    await clock.settle();
    const ended = expect(sleeper.member.done).rejects.toMatchObject({ code: 'INSTANCE_ID_TAKEN' });
    resume();
    await clock.advance(2 * HEARTBEAT_MS);
    await ended;
    expect(successor.held()).toEqual([0, 1, 2, 3]);
    expect(await successor.partitions[0]!.confirm()).toBe(true);
  });

  it('expire a member on order, which then finds out at its next heartbeat', async () => {
    const joined = join(kafka.connect());
    await clock.settle();
    const old = joined.partitions[0]!;
    kafka.expireMember('g', joined.memberId());
    await clock.settle();
    expect(old.signal.aborted).toBe(false);
    await clock.advance(2 * HEARTBEAT_MS);
    expect(old.signal.aborted).toBe(true);
    expect(joined.held()).toEqual([0, 1, 2, 3]);
    expect(await joined.partitions.at(-1)!.confirm()).toBe(true);
  });

  it('give out the partitions that a topic has got since', async () => {
    const [one, other] = [join(kafka.connect()), join(kafka.connect())];
    await clock.advance(2 * HEARTBEAT_MS);
    kafka.addPartitions('t', 6);
    await clock.advance(2 * HEARTBEAT_MS);
    expect([...one.held(), ...other.held()].sort()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(() => kafka.addPartitions('t', 5)).toThrow(/INVALID_PARTITIONS/);
  });

  it('tell a member that asks whether it is still one, and then let it wait no longer', async () => {
    const joined = join(kafka.connect());
    await clock.settle();
    const old = joined.partitions[0]!;
    kafka.expireMember('g', joined.memberId());
    expect(await old.confirm()).toBe(false);
    expect(old.signal.aborted).toBe(true);
    await clock.advance(2 * HEARTBEAT_MS);
    expect(joined.held()).toEqual([0, 1, 2, 3]);
  });

  it('go on without a member that does not come back within the rebalance timeout', async () => {
    const { promise: never } = Promise.withResolvers<void>();
    const stuck = join(kafka.connect(), () => never);
    await clock.settle();
    const other = join(kafka.connect());
    await clock.advance(29_000);
    expect(other.held()).toEqual([]);
    await clock.advance(5_000);
    expect(other.held().length).toBeGreaterThanOrEqual(2);
    // It gave up waiting for its runs then, and is back: two runs of one partition may overlap past the timeout only.
    expect([...stuck.held(), ...other.held()].sort()).toEqual([0, 1, 2, 3]);
  });

  it('survive lost requests and replies of every kind, and say so', async () => {
    const faults = createFaults();
    for (const name of ['JoinGroup', 'Heartbeat'] as const) {
      faults.next((request) => request.name === name, 'lose-request');
      faults.next((request) => request.name === name, 'lose-reply');
    }
    const joined = join(kafka.connect(faults.intercept));
    await clock.advance(6 * HEARTBEAT_MS);
    expect(joined.held()).toEqual([0, 1, 2, 3]);
    expect(joined.troubles.length).toBe(4);
    faults.next(({ name }) => name === 'LeaveGroup', 'lose-request');
    await joined.member.close();
    expect(joined.troubles.length).toBe(5);
  });

  it('assign anew when a subscribed topic comes or goes', async () => {
    const admin = kafka.connect().admin;
    await admin.deleteTopics(['t']);
    const joined = join(kafka.connect());
    await clock.settle();
    expect(joined.held()).toEqual([]);
    await admin.createTopics([{ name: 't', partitions: 2, config: {} }]);
    await clock.advance(HEARTBEAT_MS);
    expect(joined.held()).toEqual([0, 1]);
    await admin.deleteTopics(['t']);
    await clock.advance(HEARTBEAT_MS);
    expect(joined.held()).toEqual([]);
  });

  it('leave no timer behind when all have closed', async () => {
    const port = kafka.connect();
    const members = [join(port), join(kafka.connect()), join(kafka.connect())];
    await clock.advance(5 * HEARTBEAT_MS);
    const closed = Promise.all(members.map(({ member }) => member.close()));
    await clock.advance(5 * HEARTBEAT_MS);
    await closed;
    expect(clock.pendingTimers).toBe(0);
  });
});
