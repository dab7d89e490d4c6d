/** A leader that is stopped (SIGSTOP) for longer than its session and wakes up again, as processes on real Kafka. */
import { randomBytes } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { followControlLog } from '../../src/coordination/control-log.ts';
import { type ControlEvent, decodeEvent } from '../../src/coordination/events.ts';
import { askLeader } from '../../src/coordination/requests.ts';
import { startEmbedded } from '../../src/kafka/embedded.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { namesFor } from '../../src/names.ts';
import { eventually, PATIENCE_MS } from '../support/eventually.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { runWeir, startWeir } from '../support/weir-process.ts';

describeOnKafka('a leader that was stopped for longer than its session', () => {
  it('wakes up, writes nothing, and another one has led within 5 s', { timeout: 240_000 }, async () => {
    const prefix = `pause-${randomBytes(4).toString('hex')}.`;
    const names = namesFor(prefix);
    // Of its own: SIGSTOP holds up a transaction of the leader, which the successor has to fence.
    const broker = await startEmbedded({ ephemeral: true });
    const kafka = await connectKafka(
      defaultConfig({ kafka: { brokers: broker.brokers } }).kafka,
      pino({ level: 'silent' }),
    );
    const env = {
      WEIR_KAFKA: broker.brokers,
      WEIR_PREFIX: prefix,
      WEIR_KAFKA_SESSION_TIMEOUT_MS: '2000',
      WEIR_CONTROL_TICK_MS: '50',
      WEIR_ROUTING_TRACES_SHARDS: '4',
      WEIR_TOPICS_INGEST_PARTITIONS: '1',
    };
    expect((await runWeir(['topics', '--create'], env)).code).toBe(0);
    const controllers = await Promise.all([startWeir(['control'], env), startWeir(['control'], env)]);
    const control = await followControlLog(kafka, names);
    try {
      await groupOf(broker.brokers, names.controlGroup, controllers.length);
      const { members } = await control.waitFor((state) => state.members.size === controllers.length, PATIENCE());
      expect([...members.values()].map(({ role }) => role)).toEqual(['control', 'control']);
      const before = control.state.leaders.get('control')!;
      const paused = controllers.find(({ child }) => before.member.includes(`-${child.pid}-`))!;
      await paused.waitForMetric('weir_leader', (leads) => leads === 1);

      paused.child.kill('SIGSTOP');
      const stoppedAt = performance.now();
      const machine = watchDelays(kafka);
      const { leaders } = await control.waitFor(
        (state) => state.leaders.get('control')!.leaderEpoch > before.leaderEpoch,
        PATIENCE(),
      );
      const failOverMs = performance.now() - stoppedAt;
      const delayMs = await machine.longestMs();
      const successor = leaders.get('control')!;
      // The two of them are all the members that there are.
      const missed = await control.waitFor(({ departed }) => departed.has(before.member), PATIENCE());
      expect(missed.departed.get(before.member)).toMatchObject({ role: 'control', how: 'lost' });
      expect([...missed.members.keys()]).toEqual([successor.member]);
      // In the log of the woken one, too, which would answer it as well.
      const answer = await askLeader(
        kafka,
        names,
        control,
        { kind: 'split', shard: 'traces-0000' },
        { member: 'test' },
      );
      paused.child.kill('SIGCONT');
      await eventually(() => expect(paused.output()).toContain('no longer the leader'));
      // Back among the members.
      await control.waitFor((state) => state.members.has(before.member), PATIENCE());
      await askLeader(kafka, names, control, { kind: 'abandon' }, { member: 'test' });

      // Joining again it may be elected again, which is a new epoch. Nothing of the old one comes after its successor's election.
      const events = await everythingOn(kafka, names.control);
      const writers = events.map(({ event }) => ('leaderEpoch' in event ? event.leaderEpoch : undefined));
      let leaderEpoch: number | undefined;
      const rightful = events.map(({ offset, event }) => {
        if (event.type === 'LeaderElected') leaderEpoch = Number(offset);
        return 'leaderEpoch' in event ? leaderEpoch : undefined;
      });
      expect(writers).toEqual(rightful);
      expect(writers.filter((epoch) => epoch === successor.leaderEpoch).length).toBeGreaterThan(2);
      expect(answer.ringEpoch).toBe(2);
      console.log(
        `fail-over: ${Math.round(failOverMs)} ms from SIGSTOP, session timeout 2 s; the broker took up to ${Math.round(delayMs)} ms for an answer`,
      );
      // A busy machine holds up each of the steps that it takes.
      expect(failOverMs).toBeLessThan(5_000 + 4 * delayMs);
    } finally {
      for (const { child } of controllers) child.kill('SIGKILL');
      await control.close();
      await kafka.close();
      await broker.stop();
    }
  });
});

/** How long an answer of the broker takes at most, asked for all the time; what it is longer than a moment by is the machine's doing. */
function watchDelays({ admin }: KafkaPort): { longestMs(): Promise<number> } {
  let longestMs = 0;
  let over = false;
  const asking = (async () => {
    while (!over) {
      const askedAt = performance.now();
      await admin.listTopics();
      longestMs = Math.max(longestMs, performance.now() - askedAt);
    }
  })();
  return {
    async longestMs() {
      over = true;
      await asking;
      return longestMs;
    },
  };
}

/** A failed wait is to end the test, and with it the processes. */
const PATIENCE = () => ({ signal: AbortSignal.timeout(PATIENCE_MS) });

/** Resolves once so many have joined, and the group has settled. */
async function groupOf(brokers: string, groupId: string, members: number): Promise<void> {
  const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    await eventually(async () => {
      const [group] = (await admin.describeGroups([groupId])).groups;
      expect([group!.state, group!.members.length]).toEqual(['Stable', members]);
    });
  } finally {
    await admin.disconnect();
  }
}

/** Also what was never committed: a fenced leader's record must not be there at all. */
async function everythingOn(port: KafkaPort, topic: string): Promise<{ offset: bigint; event: ControlEvent }[]> {
  const end = (await port.admin.offsets(topic))[0]!.latest;
  const reader = port.reader({ topic, partition: 0 }, { isolation: 'read_uncommitted' });
  const events: { offset: bigint; event: ControlEvent }[] = [];
  try {
    await reader.seek('earliest');
    while (reader.position < end) {
      const outcome = await reader.poll(500);
      if (outcome.kind !== 'poll') continue;
      const { poll } = outcome;
      for (let i = 0; i < poll.count; i++)
        events.push({ offset: poll.offset(i), event: decodeEvent(poll.value(i), topic) });
      poll.release();
    }
  } finally {
    await reader.close();
  }
  return events;
}
