import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { defaultConfig } from '../../../src/config.ts';
import { connectKafka } from '../../../src/kafka/kafkajs/index.ts';
import type { AssignedPartition, GroupMember, GroupOptions, KafkaPort } from '../../../src/kafka/port.ts';
import { untilAborted } from '../../contract/suite/crew.ts';
import { eventually } from '../../support/eventually.ts';
import { describeOnKafka } from '../../support/real-kafka.ts';

/** Who waits for the end of a session waits longer than any process takes to start here. */
const SESSION_TIMEOUT_MS = 120_000;
const AT_ONCE_MS = 60_000;

interface Generation {
  readonly id: number;
  readonly memberId: string;
  readonly partitions: ReadonlyArray<{ topic: string; partition: number }>;
}

describeOnKafka('a static member that was killed', ({ brokers }) => {
  let port: KafkaPort;
  let other: GroupMember | undefined;
  const children: ChildProcess[] = [];
  let present: string;
  let absent: string;
  let options: GroupOptions;
  const create = (name: string) => port.admin.createTopics([{ name, partitions: 4, replicas: 1, config: {} }]);

  function startMember(topics = options.topics): {
    child: ChildProcess;
    generations: Generation[];
    complaints(): string;
  } {
    const child = spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'member.process.ts'),
        brokers,
        JSON.stringify({ ...options, topics, instanceId: 'one' }),
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    children.push(child);
    const generations: Generation[] = [];
    createInterface(child.stdout!).on('line', (line) => generations.push(JSON.parse(line) as Generation));
    let complaints = '';
    child.stderr!.on('data', (chunk) => {
      complaints += String(chunk);
    });
    return { child, generations, complaints: () => complaints };
  }
  const names = (generation: Generation | undefined) =>
    generation?.partitions.map(({ topic, partition }) => `${topic}/${partition}`).sort();
  const allOf = (...topics: string[]) => topics.flatMap((topic) => [0, 1, 2, 3].map((i) => `${topic}/${i}`)).sort();
  const kill = async (child: ChildProcess) => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };

  beforeEach(async () => {
    port = await connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' }));
    const stem = `static-${randomBytes(5).toString('hex')}`;
    [present, absent] = [`${stem}-present`, `${stem}-absent`];
    options = {
      groupId: stem,
      topics: [present, absent],
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      heartbeatIntervalMs: 200,
    };
    await create(present);
  });
  afterEach(async () => {
    for (const child of children) if (child.exitCode === null && child.signalCode === null) await kill(child);
    await other?.close();
    other = undefined;
    await port.admin.deleteTopics([present, absent]);
    await port.close();
  });

  it('has its partitions back as soon as it is started again, and the others go on; as leader it still sees new topics', async () => {
    // The first in the group is its leader.
    const first = startMember();
    await eventually(() => expect(names(first.generations.at(-1))?.length, first.complaints()).toBe(4));
    const held: AssignedPartition[] = [];
    const generations: Generation[] = [];
    other = port.joinGroup(options, {
      async run(partition) {
        held.push(partition);
        await untilAborted(partition.signal);
      },
      onGeneration: (generation) => generations.push(generation),
    });
    await eventually(() => {
      expect(first.generations.at(-1)!.id).toBe(generations.at(-1)?.id);
      expect(generations.at(-1)!.partitions.length).toBe(2);
    });
    const before = first.generations.at(-1)!;
    const undisturbed = held.slice(-2);

    await kill(first.child);
    const killedAt = performance.now();
    const again = startMember();
    await eventually(() => expect(again.generations.length, again.complaints()).toBe(1));
    expect(performance.now() - killedAt).toBeLessThan(AT_ONCE_MS);
    expect(names(again.generations[0])).toEqual(names(before));
    expect(again.generations[0]!.id).toBe(before.id);
    expect(again.generations[0]!.memberId).not.toBe(before.memberId);
    expect(generations.at(-1)!.id).toBe(before.id);
    for (const partition of undisturbed) {
      expect(partition.signal.aborted).toBe(false);
      expect(await partition.confirm()).toBe(true);
    }

    await create(absent);
    await eventually(() => {
      const all = [...names(again.generations.at(-1))!, ...names(generations.at(-1))!].sort();
      expect(all).toEqual(allOf(present, absent));
    });
  });

  it('and reads one more topic than before is given that, too', async () => {
    await create(absent);
    const first = startMember([present]);
    await eventually(() => expect(names(first.generations.at(-1)), first.complaints()).toEqual(allOf(present)));
    await kill(first.child);
    const again = startMember();
    await eventually(() => expect(names(again.generations[0]), again.complaints()).toEqual(allOf(present)));
    await eventually(() => expect(names(again.generations.at(-1))).toEqual(allOf(present, absent)));
  });
});
