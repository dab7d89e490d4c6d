/** The view of an installation, on the in-process log, out of what real parts write there. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ApiEvent } from '../../src/api/api-view.ts';
import { type InstallationView, openInstallationView } from '../../src/api/installation-view.ts';
import { defaultConfig } from '../../src/config.ts';
import { type Decision, encodeDecision } from '../../src/control/decision.ts';
import { ensureFirstRing } from '../../src/coordination/ensure-first-ring.ts';
import { encodeEvent } from '../../src/coordination/events.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import { bucketOf } from '../../src/kernels/split/kernel.ts';
import { encodeLoadReport } from '../../src/load/codec.ts';
import type { InstanceLoad, LoadReport, ShardLoad } from '../../src/load/load-report.ts';
import { createLog } from '../../src/log.ts';
import { namesFor } from '../../src/names.ts';
import { ensureTopics } from '../../src/topics/ensure-topics.ts';
import { instanceLoad, report as reportUntil, shardLoad } from '../load/reports.ts';
import { eventually } from '../support/eventually.ts';

const config = defaultConfig({
  ...{ prefix: 'v.', topics: { ingestPartitions: 2 }, routing: { traces: { shards: 4 } } },
  control: { rebalance: { minBytesPerSecond: 10_000 } },
});
const names = namesFor('v.');
const log = createLog({ level: 'silent' });
const NOW = 1_800_000_000_000;

const instance = (over: Partial<InstanceLoad> = {}): InstanceLoad =>
  instanceLoad('checkout', 'a', {
    items: 10,
    bytes: 1_000,
    requests: 10,
    requestErrors: 1,
    requestLatency: [bucketOf(10_000_000n), 10],
    cpuUtilisation: 0.5,
    ...over,
  });

/** Of one second, ending `secondsAgo` before now. */
const report = (secondsAgo: number, shards: ShardLoad[], over: Partial<LoadReport> = {}): LoadReport =>
  reportUntil(NOW - secondsAgo * 1_000, {
    reporter: { id: 'p-1', role: 'process', version: '0.1.0' },
    signals: [{ signal: 'traces', shards, instances: [instance()], slots: null }],
    lag: [{ topic: 'v.otlp_spans', partition: 1, records: 3 }],
    ...over,
  });

const decision = (id: string): Decision => ({
  version: 1,
  id,
  kind: 'scaling',
  subject: 'checkout',
  action: 'scale_out',
  from: 1,
  to: 2,
  priority: 'normal',
  reasons: [{ rule: 'cpu-high', observed: 0.9, threshold: 0.8, window: 15_000, text: 'mean CPU 0.90 is above 0.80' }],
  at: '2026-01-01T00:00:00.000Z',
  ringEpoch: 1,
  leaderEpoch: 0,
  inputOffset: 0,
  status: 'emitted',
});

let port: KafkaPort;
let opened: InstallationView[];
const open = async (now = NOW) => {
  const view = await openInstallationView({ port, names, config, log, now: () => now });
  opened.push(view);
  return view;
};

async function write(topic: string, ...values: Uint8Array[]): Promise<void> {
  const producer = await port.producer();
  const outcomes = await producer.send(values.map((value) => ({ topic, partition: 0, value })));
  await producer.close();
  expect(outcomes.every(({ kind }) => kind === 'stored')).toBe(true);
}

const writeFirstRing = () =>
  ensureFirstRing(port, names, config, { ring: createReferenceRing(), hash: createReferenceHash() });

beforeEach(async () => {
  port = createMemoryKafka().connect();
  opened = [];
});
afterEach(async () => {
  for (const view of opened) await view.close();
  await port.close();
});

describe('the view of an installation', () => {
  it('is refused where there is none, with what to do', async () => {
    await expect(open()).rejects.toMatchObject({
      code: 'TOPIC_MISSING',
      message: expect.stringMatching(/holds no installation with the prefix v\. .*`weir topics --create`/),
    });
  });

  describe('that is there', () => {
    beforeEach(async () => {
      await ensureTopics(port.admin, { config, names });
    });

    it('has no ring, leader, load or decision in the beginning', async () => {
      const view = await open();
      expect(await view.topology()).toMatchObject({ prefix: 'v.', ringEpoch: null, leader: null, signals: [] });
      expect(await view.shards()).toEqual({ ringEpoch: null, windowSeconds: 0, shards: [], signals: [] });
      expect((await view.members()).members).toEqual([]);
      expect((await view.services()).services).toEqual([]);
      expect((await view.decisions(5)).decisions).toEqual([]);
    });

    it('shows every shard, whose ranges cover all hashes without a gap or an overlap', async () => {
      await writeFirstRing();
      const view = await open();
      const { ringEpoch, shards } = await view.shards();
      const traces = shards.filter(({ signal }) => signal === 'traces');
      expect([ringEpoch, shards.length, traces.length]).toEqual([1, 36, 4]);
      expect(traces[2]).toMatchObject({
        id: 2,
        name: 'traces-0002',
        topic: 'v.otlp_spans_shard_0002',
        capacity: 1,
        health_status: 'unknown',
      });
      const runs = traces.flatMap(({ range }) => range.hash_range).sort(([a], [b]) => a.localeCompare(b));
      expect(runs[0]?.[0]).toBe('0000000000000000');
      expect(runs.at(-1)?.[1]).toBe('ffffffffffffffff');
      for (const [i, [first]] of runs.entries())
        if (i > 0) expect(BigInt(`0x${first}`)).toBe(BigInt(`0x${runs[i - 1]?.[1]}`) + 1n);
      expect(traces.reduce((sum, { slots }) => sum + slots, 0)).toBe(65_536);
      expect(traces.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
      expect(traces[0]?.range.start_key).toBe(traces[0]?.range.hash_range[0]?.[0]);
    });

    it('shows load as rates over the window, and which shards are hot or idle', async () => {
      await writeFirstRing();
      const reports = [
        report(40, [shardLoad(3, 99_000)]),
        report(1, [shardLoad(0, 1_000), shardLoad(2, 3_000), shardLoad(1, 9_000)]),
        report(0, [shardLoad(0, 1_000), shardLoad(1, 9_000)]),
      ];
      await write(names.load, ...reports.map(encodeLoadReport));
      const { windowSeconds, shards } = await (await open()).shards();
      expect(windowSeconds).toBe(2);
      const traces = shards.filter(({ signal }) => signal === 'traces');
      expect(traces.map(({ current_load: load }) => load.bytes_per_second)).toEqual([1_000, 9_000, 1_500, 0]);
      expect(traces.map(({ health_status: health }) => health)).toEqual(['healthy', 'hot', 'healthy', 'idle']);
      expect(traces[1]?.current_load).toMatchObject({ items_per_second: 90, relative: 9_000 / (11_500 / 4) });
    });

    it('calls no shard of a trickle hot, as the controller leaves it alone', async () => {
      await writeFirstRing();
      await write(names.load, encodeLoadReport(report(0, [shardLoad(1, 9_000)])));
      const { shards } = await (await open()).shards();
      expect(shards.find(({ name }) => name === 'traces-0001')).toMatchObject({
        health_status: 'healthy',
        current_load: { relative: 4 },
      });
    });

    it('shows members with their partitions, and counts a report that was sent twice once', async () => {
      const earlier = report(1, [], { fromUnixMs: NOW - 1_000 });
      const one = report(0, [shardLoad(0, 1_000)], { lag: [] });
      const other = report(0, [shardLoad(1, 500)], {
        reporter: { id: 'p-2', role: 'process', version: '0.1.0' },
        lag: [],
      });
      await write(names.load, ...[earlier, one, one, other, one].map(encodeLoadReport));
      const { members } = await (await open()).members();
      expect(members).toMatchObject([
        { id: 'p-1', role: 'process', bytesPerSecond: 1_000, partitions: ['v.otlp_spans/1'], ringEpoch: 1 },
        { id: 'p-2', bytesPerSecond: 500, partitions: [] },
      ]);
    });

    it('shows what a bridge accepts and takes of the machine, and not who has said that it leaves', async () => {
      const of = (id: string, over: Partial<LoadReport>) =>
        report(0, [], { reporter: { id, role: 'bridge', version: '0.1.0' }, signals: [], lag: [], ...over });
      const usage = { cpuCores: 0.5, rssBytes: 9e7 };
      const busy = of('b-1', { usage, acceptedItems: 40, acceptedBytes: 8_000 });
      await write(names.load, ...[busy, of('b-2', { leaving: true })].map(encodeLoadReport));
      const { members } = await (await open()).members();
      expect(members).toMatchObject([
        { id: 'b-1', cpuCores: 0.5, memoryBytes: 9e7, itemsPerSecond: 40, bytesPerSecond: 8_000, since: null },
      ]);
    });

    it('shows and tells who has joined, left or is lost', async () => {
      const view = await open();
      const told: ApiEvent[] = [];
      view.subscribe((event) => told.push(event));
      const led = { version: 1, leaderEpoch: 0, sequence: 1 } as const;
      const joined = (id: string) =>
        encodeEvent({ ...led, type: 'MemberJoined', at: NOW - 5_000, id, role: 'process', release: '0.1.0' });
      const gone = (id: string, how: 'left' | 'lost') =>
        encodeEvent({ ...led, type: 'MemberGone', at: NOW, id, how, reportedAt: NOW - 3_000 });
      await write(
        names.load,
        ...['p-1', 'p-2'].map((id) =>
          encodeLoadReport(report(4, [], { reporter: { id, role: 'process', version: '0.1.0' } })),
        ),
      );
      await write(names.control, ...['p-1', 'p-2', 'p-3'].map(joined), gone('p-2', 'lost'), gone('p-3', 'left'));
      await eventually(() => expect(told).toHaveLength(5));
      expect(told.map(({ event, data }) => [event, data])).toEqual(
        ['p-1 joined', 'p-2 joined', 'p-3 joined', 'p-2 lost', 'p-3 left'].map((text) => [
          'member',
          expect.objectContaining({ id: text.split(' ')[0], change: text.split(' ')[1], version: '0.1.0' }),
        ]),
      );
      const { members, departed } = await view.members();
      expect(members.map(({ id, since }) => [id, since])).toEqual([['p-1', new Date(NOW - 5_000).toISOString()]]);
      expect(departed.map(({ id, how }) => [id, how])).toEqual([
        ['p-3', 'left'],
        ['p-2', 'lost'],
      ]);
    });

    it('shows services and their instances as the traffic tells', async () => {
      const instances = [
        instance(),
        instance({
          instance: 'b',
          requests: 30,
          requestErrors: 0,
          cpuUtilisation: 0.7,
          requestLatency: [bucketOf(40_000_000n), 30],
        }),
        instance({ service: 'cart', requests: 0, requestErrors: 0, requestLatency: [], cpuUtilisation: null }),
      ];
      const signals = [{ signal: 'traces' as const, shards: [], instances, slots: null }];
      await write(names.load, encodeLoadReport(report(0, [], { signals })));
      const { services } = await (await open()).services();
      expect(services.map(({ service }) => service)).toEqual(['cart', 'checkout']);
      expect(services[0]).toMatchObject({ p50Ms: null, errorShare: 0, cpu: null, memory: null });
      expect(services[1]).toMatchObject({ requestsPerSecond: 40, errorShare: 1 / 40, cpu: 0.6, memory: null });
      expect(services[1]?.p50Ms).toBeGreaterThan(40 / 1.12);
      expect(services[1]?.p50Ms).toBeLessThan(40 * 1.12);
      expect(services[1]?.instances.map(({ instance: name, requestsPerSecond: rate }) => [name, rate])).toEqual([
        ['a', 10],
        ['b', 30],
      ]);
    });

    it('goes past records that are no reports and no decisions', async () => {
      await write(names.load, Buffer.from('\xff\xff', 'latin1'), encodeLoadReport(report(0, [shardLoad(0, 100)])));
      await write(names.decisions, Buffer.from('nonsense'), encodeDecision(decision('7-1')));
      const view = await open();
      expect((await view.members()).members).toHaveLength(1);
      expect((await view.decisions(5)).decisions.map(({ id }) => id)).toEqual(['7-1']);
    });

    it('leaves out decisions of a later version, and fields that it does not know', async () => {
      const json = (over: object) => Buffer.from(JSON.stringify({ ...decision('7-1'), ...over }));
      await write(names.decisions, json({ version: 2 }), json({ id: '7-2', added: 'later' }));
      expect((await (await open()).decisions(5)).decisions).toEqual([decision('7-2')]);
    });

    it('gives the newest decisions first', async () => {
      await write(names.decisions, ...['7-1', '7-2', '7-3'].map((id) => encodeDecision(decision(id))));
      expect((await (await open()).decisions(2)).decisions.map(({ id }) => id)).toEqual(['7-3', '7-2']);
    });

    it('shows the lag of every ingest partition, with the ring epoch of its offset', async () => {
      await write(names.ingest('traces'), ...[1, 2, 3, 4, 5].map(() => Buffer.from('x')));
      const sink = await port.openSink({ fencingKey: 'k', groupId: names.processGroup, transactionTimeoutMs: 5_000 });
      const at = { topic: names.ingest('traces'), partition: 0 };
      await sink.commit([{ ...at, offset: 2n, metadata: 'ring=4' }]);
      await sink.close();
      const { group, totalRecords, partitions } = await (await open()).lag();
      expect([group, totalRecords, partitions.length]).toEqual(['v.weir-process', 3, 6]);
      expect(partitions).toContainEqual({ ...at, committed: 2, latest: 5, records: 3, ringEpoch: 4 });
      expect(partitions).toContainEqual({
        ...at,
        partition: 1,
        committed: null,
        latest: 0,
        records: 0,
        ringEpoch: null,
      });
    });

    it('tells of decisions, of a new leader and of a new ring as they come', async () => {
      const view = await open();
      const events: ApiEvent[] = [];
      const unsubscribe = view.subscribe((event) => events.push(event));
      await write(names.decisions, encodeDecision(decision('7-1')));
      await write(
        names.control,
        encodeEvent({
          type: 'LeaderElected',
          version: 1,
          at: NOW,
          name: 'control',
          member: 'm-1',
          memberId: 'group-1',
          electionId: 'e',
          generation: 1,
        }),
      );
      await writeFirstRing();
      await eventually(() => expect(events).toHaveLength(3));
      expect(new Map(events.map(({ event, data }) => [event, data]))).toEqual(
        new Map<string, unknown>([
          ['decision', decision('7-1')],
          ['leader', { member: 'm-1', leaderEpoch: 0, since: new Date(NOW).toISOString() }],
          ['ring', { ringEpoch: 1 }],
        ]),
      );
      expect((await view.topology()).leader?.member).toBe('m-1');
      unsubscribe();
      await write(names.decisions, encodeDecision(decision('7-2')));
      await eventually(async () => expect((await view.decisions(1)).decisions[0]?.id).toBe('7-2'));
      expect(events).toHaveLength(3);
    });

    it('shows the change in flight, what it waits for, and where a key goes before and after it', async () => {
      const { ring } = await writeFirstRing();
      const key = '0af7651916cd43dd8448eb211c80319c';
      const view = await open();
      const before = await view.route('traces', key);
      expect(before).toMatchObject({
        routedBy: 'trace_id',
        keyHash: expect.stringMatching(/^[0-9a-f]{16}$/),
        pending: null,
      });
      const { shard: from, slot, topic } = before.now;
      expect([ring.signals.traces.slots[slot!], topic]).toEqual([from, names.shard('traces', from!)]);
      const to = (from! + 1) % 4;
      await write(
        names.control,
        encodeEvent({
          ...{
            type: 'RingProposed',
            version: 1,
            at: NOW,
            leaderEpoch: 0,
            sequence: 1,
            epoch: 2,
            carryMs: 0,
            base: 1,
            reason: 'why',
          },
          change: { traces: { moves: [{ from: from!, to, runs: [slot!, 1] }], added: [], retired: [], overrides: [] } },
        }),
      );
      await eventually(async () => expect((await view.topology()).change).not.toBeNull());
      const { ringEpoch, change } = await view.topology();
      expect(ringEpoch).toBe(1);
      expect(change).toMatchObject({
        ...{ ringEpoch: 2, abandons: null, reason: 'why', partitions: 6, stuck: false },
        signals: [{ signal: 'traces', slotsMoved: 1, added: [], retired: [] }],
      });
      expect(change!.waitingFor).toContainEqual({ topic: 'v.otlp_logs', partition: 0, ringEpoch: null, member: null });
      const later = await open(NOW + config.control.ring.ackTimeoutMs + 1);
      expect((await later.topology()).change).toMatchObject({ ringEpoch: 2, stuck: true });
      expect(await view.route('traces', `0x${before.keyHash}`)).toMatchObject({
        now: { ringEpoch: 1, shard: from, slot },
        pending: { ringEpoch: 2, shard: to, slot },
      });
      await expect(view.route('metrics', 'checkout')).rejects.toMatchObject({ code: 'REQUEST_REFUSED' });
    });

    it('shows the changes that wait, with when they lapse', async () => {
      const view = await open();
      const wish = { kind: 'split', shard: 'traces-0001' } as const;
      const led = { version: 1, at: NOW, leaderEpoch: 0, sequence: 1 } as const;
      const queued = { ...led, type: 'ChangeQueued', requestId: 'r', member: 'm', wish, until: NOW + 30_000 } as const;
      await write(names.control, encodeEvent(queued));
      await eventually(async () => expect((await view.topology()).waiting).toHaveLength(1));
      const [since, until] = [NOW, NOW + 30_000].map((at) => new Date(at).toISOString());
      expect((await view.topology()).waiting).toEqual([{ id: 'r', member: 'm', wish, since, until }]);
      await write(
        names.control,
        encodeEvent({ ...led, type: 'RequestAnswered', id: 'r', outcome: 'cancelled', text: 'why', sequence: 2 }),
      );
      await eventually(async () => expect((await view.topology()).waiting).toEqual([]));
    });

    it('shows of a decision what became of it last', async () => {
      const view = await open();
      await write(names.decisions, encodeDecision(decision('7-1')), encodeDecision(decision('7-2')));
      await write(names.decisions, encodeDecision({ ...decision('7-1'), status: 'applied' }));
      const shown = async () => (await view.decisions(5)).decisions.map(({ id, status }) => [id, status]);
      await eventually(async () =>
        expect(await shown()).toEqual([
          ['7-2', 'emitted'],
          ['7-1', 'applied'],
        ]),
      );
    });
  });
});
