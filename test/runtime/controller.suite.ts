/** What controllers do among themselves, on any Kafka: `controller.memory.test.ts` and `controller.kafka.test.ts` run it. */
import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Config, defaultConfig } from '../../src/config.ts';
import type { Verdict } from '../../src/control/decide.ts';
import { decisionSchema } from '../../src/control/decision.ts';
import { type ControlLogFollower, followControlLog } from '../../src/coordination/control-log.ts';
import { ensureFirstRing } from '../../src/coordination/ensure-first-ring.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { KafkaPort, Producer } from '../../src/kafka/port.ts';
import { encodeLoadReport } from '../../src/load/codec.ts';
import type { InstanceLoad, SignalLoad, SlotLoad } from '../../src/load/load-report.ts';
import { createMetrics, type Metrics } from '../../src/metrics.ts';
import type { Names } from '../../src/names.ts';
import { type Controller, startController } from '../../src/runtime/controller.ts';
import type { Tick } from '../../src/runtime/leader-duty.ts';
import { createControlTopics, kernels, produce, readAll } from '../coordination/cluster.ts';
import { instanceLoad, report, shardLoad } from '../load/reports.ts';

/** Time that the test moves; one for all controllers. Far from the real one, so that a use of that would show. */
class TestClock {
  nowMs = 1_000_000_000_000;
  readonly now = () => this.nowMs;
}

interface Member {
  readonly name: string;
  readonly controller: Controller;
  readonly metrics: Metrics;
}

export function controllerSuite(connect: () => Promise<KafkaPort>): void {
  let port: KafkaPort;
  let names: Names;
  let config: Config;
  let clock: TestClock;
  let producer: Producer;
  let members: Member[];
  /** The control log as anybody reads it. */
  let control: ControlLogFollower;
  /** The last tick of any leader. */
  let tick: Tick | null;
  let reports: number;

  beforeEach(async () => {
    clock = new TestClock();
    members = [];
    tick = null;
    reports = 0;
    port = await connect();
    const prefix = `c${randomBytes(4).toString('hex')}.`;
    config = defaultConfig({
      prefix,
      // Longer than a machine stands still.
      kafka: { sessionTimeoutMs: 30_000 },
      routing: { vnodes: 8, traces: { shards: 4 }, metrics: { shards: 4 }, logs: { shards: 4 } },
      control: { tickMs: 5, rebalance: { minBytesPerSecond: 1 } },
    });
    names = await createControlTopics(port, prefix);
    producer = await port.producer();
    control = await followControlLog(port, names);
  });
  afterEach(async () => {
    await Promise.all(members.map(({ controller }) => controller.close()));
    await control.close();
    await producer.close();
    await port.admin.deleteTopics([names.control, names.load, names.decisions, names.requests]);
    await port.close();
  });

  async function start(name: string): Promise<Member> {
    const metrics = createMetrics();
    const log = pino({ level: process.env.WEIR_TEST_LOG ?? 'silent' });
    const onTick = (done: Tick) => {
      tick = done;
    };
    const options = { port, names, config, kernels, metrics, log, memberName: name, now: clock.now, onTick };
    const member = { name, controller: await startController(options), metrics };
    members.push(member);
    return member;
  }

  /** Sends a second's report and moves time on by it. */
  async function report1s(signals: readonly SignalLoad[]): Promise<void> {
    clock.nowMs += 1_000;
    const value = encodeLoadReport(report(clock.nowMs, { signals }));
    const [outcome] = await producer.send([{ topic: names.load, partition: 0, value }]);
    expect(outcome).toEqual({ kind: 'stored' });
    reports++;
  }

  /** Moves time on, a second's report at a time, each seen by a tick of the leader before the next. */
  async function pass(seconds: number, signals: readonly SignalLoad[]): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      await report1s(signals);
      await until(() => tick?.at === clock.nowMs && tick.inputOffset === reports);
    }
  }

  const leader = () => control.state.leaders.get('control');
  /** Under a later leader than this one's. */
  const laterLeader = (leaderEpoch: number) =>
    control.waitFor(({ leaders }) => (leaders.get('control')?.leaderEpoch ?? -1) > leaderEpoch);
  /** Leads by its own account, which `weir_leader` is. */
  const leads = async ({ metrics }: Member) => (await gauge(metrics, 'weir_leader')) === 1;
  const saidInLastTick = (what: Verdict['verdict']) => tick!.verdicts.some(({ verdict }) => verdict === what);
  const written = async () =>
    (await readAll(port, names.decisions)).map((value) =>
      decisionSchema.parse(JSON.parse(Buffer.from(value).toString())),
    );

  it('elects one of two, which writes the first ring epoch', async () => {
    const [a, b] = [await start('a'), await start('b')];
    await control.waitFor(({ ring }) => ring !== null);
    expect(control.state.ring).toEqual(firstRing(config, kernels.ring, kernels.hash));
    await until(() => leader() !== undefined);
    await until(async () => {
      const [other] = [a, b].filter(({ name }) => name !== leader()!.member);
      const leading = members.find(({ name }) => name === leader()!.member)!;
      return (await leads(leading)) && !(await leads(other!)) && (await gauge(other!.metrics, 'weir_ring_epoch')) === 1;
    });
  });

  it('decides once, and says nothing again under a new leader while nothing changes', async () => {
    const first = await start('a');
    const hot = busyCart(0.9);
    // One window to warm up, then the stabilisation time.
    await pass(15, hot);
    expect(saidInLastTick('stabilising')).toBe(true);
    expect(await written()).toEqual([]);
    await pass(11, hot);
    await until(async () => (await written()).length === 1);
    const [decision] = await written();
    const { leaderEpoch } = (await laterLeader(-1)).leaders.get('control')!;
    expect(decision).toMatchObject({
      id: `${leaderEpoch}-1`,
      kind: 'scaling',
      subject: 'cart',
      action: 'scale_out',
      from: 4,
      to: 6,
      reasons: [{ rule: 'cpu-high', threshold: 0.8, window: 15_000 }],
      ringEpoch: 1,
      leaderEpoch,
    });
    expect(decision!.reasons[0]!.observed).toBeCloseTo(0.9);
    expect(Math.abs(Date.parse(decision!.at) - clock.nowMs)).toBeLessThan(15_000);
    expect(decision!.inputOffset).toBeGreaterThan(20);
    await until(async () => (await gauge(first.metrics, 'weir_decisions_total')) === 1);

    // Its joining makes the group choose anew, so it may lead at once.
    const second = await start('b');
    members = members.filter((member) => member !== first);
    await first.controller.close();
    expect(await gauge(first.metrics, 'weir_leader')).toBe(0);
    await until(() => leads(second));
    // Past the cooldown and another stabilisation time: had the new leader forgotten, it would decide now.
    clock.nowMs += 60_000;
    await pass(26, hot);
    expect(saidInLastTick('no-news')).toBe(true);
    expect((await written()).map(({ id }) => id)).toEqual([decision!.id]);

    // The condition clears, and comes back: that is news, under the second leader's own number.
    await pass(12, busyCart(0.5));
    await until(async () =>
      (await readAll(port, names.control)).some((value) => Buffer.from(value).includes('ConditionCleared')),
    );
    await pass(11, hot);
    await until(async () => (await written()).length === 2);
    const { leaderEpoch: later } = (await laterLeader(leaderEpoch)).leaders.get('control')!;
    expect((await written())[1]).toMatchObject({ id: `${later}-1`, action: 'scale_out', leaderEpoch: later });
  });

  it('says which slots of a hot shard would go where', async () => {
    await start('a');
    const { ring } = await control.waitFor((state) => state.ring !== null);
    const { slots } = ring!.signals.traces;
    const own = (shard: number, count: number) =>
      [...slots.keys()].filter((slot) => slots[slot] === shard).slice(0, count);
    // Shard 0 has 40 slots of 1,000 B/s, the others 10 each.
    const slotBytes = [own(0, 40), own(1, 10), own(2, 10), own(3, 10)].flat().sort((x, y) => x - y);
    const load = (): SignalLoad[] => [
      {
        signal: 'traces',
        shards: [40_000, 10_000, 10_000, 10_000].map((bytes, shard) => shardLoad(shard, bytes)),
        instances: [],
        slots: slotLoad(
          clock.nowMs,
          slotBytes.flatMap((slot) => [slot, 10_000]),
        ),
      },
    ];
    for (let i = 0; i < 26; i++) await pass(1, load());
    await until(async () => (await written()).length === 1);
    const [decision] = await written();
    expect(decision).toMatchObject({
      kind: 'rebalance',
      subject: 'traces',
      action: 'move_slots',
      hotShards: [0],
      unmovable: [],
    });
    if (decision!.kind !== 'rebalance') return;
    expect(decision!.from).toBeCloseTo(40 / 17.5);
    expect(decision!.to).toBeLessThanOrEqual(1.15);
    for (const { from, to, slots: moved } of decision!.moves) {
      expect(from).toBe(0);
      expect(to).toBeGreaterThan(0);
      for (const slot of moved) expect(slots[slot]).toBe(0);
    }
  });

  it('gives up a leadership that another sink of the same key has fenced, and is elected anew', async () => {
    await start('a');
    await control.waitFor(({ ring }) => ring !== null);
    const { leaderEpoch } = leader()!;
    const options = {
      fencingKey: names.leaderKey('control'),
      groupId: names.controlGroup,
      transactionTimeoutMs: 10_000,
    };
    await (await port.openSink(options)).close();
    await pass(26, busyCart(0.9));
    await laterLeader(leaderEpoch);
    // What the fenced leader tried to write is not there; the new one decides on its own.
    await pass(11, busyCart(0.9));
    await until(async () => (await written()).length > 0);
    const decisions = await written();
    expect(decisions).toHaveLength(1);
    expect(decisions[0]!.leaderEpoch).toBeGreaterThan(leaderEpoch);
  });

  it('stops with a clear error when the control log holds an event that it does not know', async () => {
    const { controller } = await start('a');
    await control.waitFor(({ ring }) => ring !== null);
    await produce(port, names.control, Buffer.from('{"type":"RingActive","version":42}'));
    const says = {
      code: 'CONTROL_LOG_UNREADABLE',
      message: expect.stringMatching(/version 42 of the event RingActive/),
    };
    await expect(controller.done).rejects.toMatchObject(says);
    await expect(start('b')).rejects.toMatchObject(says);
  });

  it('refuses to start when the ring epoch holds another routing', async () => {
    const other = defaultConfig({ prefix: config.prefix, routing: { vnodes: 8, traces: { key: 'service.name' } } });
    await ensureFirstRing(port, names, other, kernels);
    await expect(start('a')).rejects.toMatchObject({ code: 'ROUTING_MISMATCH' });
  });
}

/** Four instances of one service at this CPU. */
function busyCart(cpuUtilisation: number): SignalLoad[] {
  const instances = ['a', 'b', 'c', 'd'].map(
    (instance): InstanceLoad => instanceLoad('cart', instance, { requests: 10, cpuUtilisation }),
  );
  return [{ signal: 'traces', shards: [], instances, slots: null }];
}

function slotLoad(nowMs: number, slotBytes: number[]): SlotLoad {
  return { fromUnixMs: nowMs - 10_000, toUnixMs: nowMs, slotBytes, restSlots: 0, restBytes: 0, keys: [] };
}

/** The sum over all labels. */
async function gauge(metrics: Metrics, name: string): Promise<number> {
  const { values } = await metrics.registry.getSingleMetric(name)!.get();
  return values.reduce((sum, { value }) => sum + value, 0);
}

/** Asks again every 5 ms; the test's own timeout ends it. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}
