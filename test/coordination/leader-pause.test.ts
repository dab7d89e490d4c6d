/** A leader that is stopped (SIGSTOP) for longer than its session and wakes up again, as processes on real Kafka. */
import { randomBytes } from 'node:crypto';
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
import { describeOnKafka } from '../support/real-kafka.ts';
import { runWeir, startWeir } from '../support/weir-process.ts';

describeOnKafka('a leader that was stopped for longer than its session', () => {
  it('wakes up, writes nothing, and another one has led within 5 s', { timeout: 90_000 }, async () => {
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
      for (const { waitForMetric } of controllers)
        await waitForMetric('process_start_time_seconds', (seconds) => seconds > 0);
      // Both have joined: the group has settled on one of them.
      await expect
        .poll(async () => (await Promise.all(controllers.map(({ metric }) => metric('weir_leader')))).sort(), {
          timeout: 20_000,
        })
        .toEqual([0, 1]);
      const paused = (await controllers[0].metric('weir_leader')) === 1 ? controllers[0] : controllers[1];
      const before = control.state.leaders.get('control')!;

      paused.child.kill('SIGSTOP');
      const stoppedAt = performance.now();
      const { leaders } = await control.waitFor(
        (state) => state.leaders.get('control')!.leaderEpoch > before.leaderEpoch,
      );
      const failOverMs = performance.now() - stoppedAt;
      const successor = leaders.get('control')!;
      // Killed or stopped, it is missed; the two of them are all the members that there are.
      const missed = await control.waitFor(({ departed }) => departed.has(before.member));
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
      await paused.waitForMetric('weir_leader', (leads) => leads === 0);
      await expect.poll(() => paused.output(), { timeout: 20_000 }).toContain('no longer the leader');
      // Back among the members, though not as their leader.
      await control.waitFor(({ members }) => members.has(before.member));
      // Its word is the last one: the successor goes on leading while the woken one is there.
      await askLeader(kafka, names, control, { kind: 'abandon' }, { member: 'test' });
      expect(control.state.leaders.get('control')).toMatchObject({ member: successor.member });

      const events = await everythingOn(kafka, names.control);
      const took = events.findIndex(({ offset }) => offset === BigInt(successor.leaderEpoch));
      const epochsAfter = events
        .slice(took + 1)
        .map(({ event }) => ('leaderEpoch' in event ? event.leaderEpoch : null));
      expect(epochsAfter.length).toBeGreaterThan(2);
      expect(new Set(epochsAfter)).toEqual(new Set([successor.leaderEpoch]));
      expect(answer.ringEpoch).toBe(2);
      console.log(`fail-over: ${Math.round(failOverMs)} ms from SIGSTOP, session timeout 2 s`);
      expect(failOverMs).toBeLessThan(5_000);
    } finally {
      for (const { child } of controllers) child.kill('SIGKILL');
      await control.close();
      await kafka.close();
      await broker.stop();
    }
  });
});

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
