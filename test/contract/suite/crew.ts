/** Group members of the tests, which write down what the group does with them. */
import type { AssignedPartition, GroupMember, GroupOptions, KafkaPort } from '../../../src/kafka/port.ts';
import { eventually, PATIENCE_MS } from '../../support/eventually.ts';
import { type Scene, SESSION_TIMEOUT_MS } from './scene.ts';

export interface Generation {
  readonly id: number;
  readonly memberId: string;
  /** `topic/partition`, sorted. */
  readonly partitions: readonly string[];
}

export interface Crewman {
  readonly member: GroupMember;
  /** Every generation that it saw, in order. */
  readonly generations: readonly Generation[];
  /** Every partition that it was given, in order, also those it has no more. */
  readonly partitions: readonly AssignedPartition[];
  /** `topic/partition` of the runs that go on, sorted. */
  running(): string[];
}

export const nameOf = (at: { topic: string; partition: number }) => `${at.topic}/${at.partition}`;

export const untilAborted = (signal: AbortSignal): Promise<void> =>
  signal.aborted
    ? Promise.resolve()
    : new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

/** Joins, and holds each partition until it is to be given back; `run` does something else with it. */
export function join(
  scene: Scene,
  options: Pick<GroupOptions, 'groupId' | 'topics'> & Partial<GroupOptions>,
  run: (partition: AssignedPartition) => Promise<void> = (partition) => untilAborted(partition.signal),
  port: KafkaPort = scene.port,
): Crewman {
  const generations: Generation[] = [];
  const partitions: AssignedPartition[] = [];
  const running = new Map<AssignedPartition, string>();
  const member = port.joinGroup(
    { sessionTimeoutMs: SESSION_TIMEOUT_MS, heartbeatIntervalMs: 200, rebalanceTimeoutMs: PATIENCE_MS, ...options },
    {
      async run(partition) {
        partitions.push(partition);
        running.set(partition, nameOf(partition));
        try {
          await run(partition);
        } finally {
          running.delete(partition);
        }
      },
      onGeneration: ({ id, memberId, partitions: given }) =>
        generations.push({ id, memberId, partitions: given.map(nameOf).sort() }),
    },
  );
  // A test that expects a failure looks at `done` itself.
  scene.atEnd(() => member.close().catch(() => {}));
  return { member, generations, partitions, running: () => [...running.values()].sort() };
}

/** Waits until all of them are in one generation and hold, together, exactly these partitions. Its number. */
export async function settled(crew: readonly Crewman[], partitions: readonly string[]): Promise<number> {
  return await eventually(() => {
    const ids = new Set(crew.map((crewman) => crewman.generations.at(-1)?.id));
    const held = crew.flatMap((crewman) => crewman.running()).sort();
    const wanted = [...partitions].sort();
    const [id] = ids;
    if (ids.size !== 1 || id === undefined || held.join() !== wanted.join()) {
      const seen = crew.map((crewman) => `generation ${crewman.generations.at(-1)?.id}: ${crewman.running()}`);
      throw new Error(`the group has not settled on ${wanted}; ${seen.join('; ')}`);
    }
    return id;
  });
}
