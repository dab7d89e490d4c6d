import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { followControlLog } from '../../src/coordination/control-log.ts';
import { encodeEvent, ringActiveEvent } from '../../src/coordination/events.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';
import { decodeState, encodeState, snapshotRecord } from '../../src/coordination/snapshot.ts';
import type { ControlState } from '../../src/coordination/state.ts';
import { createMemoryKafka, type MemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { BY_TRACE_ID, type Override } from '../../src/kernels/split/kernel.ts';
import type { Names } from '../../src/names.ts';
import { createControlTopics, kernels, produce, testConfig } from './cluster.ts';

const config = testConfig();
const ring = firstRing(config, kernels.ring, kernels.hash);
const withOverride: SignalRing = {
  ...ring.signals.traces,
  overrides: new Map<bigint, Override>([
    [2n ** 63n + 1n, 3],
    [5n, BY_TRACE_ID],
  ]),
  hotKeys: new Map([[5n, 'cart']]),
};
const full: ControlState = {
  nextOffset: 7n,
  leaders: new Map([
    ['control', { member: 'm', electionId: 'e', memberId: 'i', leaderEpoch: 3, since: 5, sequence: 2 }],
  ]),
  ring: { ...ring, signals: { ...ring.signals, traces: withOverride } },
  proposed: {
    ring: { ...ring, epoch: 2 },
    abandons: null,
    before: ring,
    change: {},
    at: 9,
    carryFrom: 4,
    adoptedAt: null,
    reason: 'r',
    decisionId: null,
    planned: null,
  },
  waitingChanges: [
    {
      ...{ requestId: 'c', member: 'n', since: 3, until: 9 },
      wish: { kind: 'split', shard: 's' },
      fence: { resource: 'r', token: 3 },
    },
  ],
  changes: [
    {
      abandons: null,
      change: {},
      at: 8,
      carryFrom: null,
      decisionId: '1-1',
      planned: { signal: 'logs', from: 2, to: 1 },
      epoch: 1,
      activeAt: 9,
    },
  ],
  nextShard: { traces: 4, metrics: 5, logs: 6 },
  answers: new Map([['a', { outcome: 'accepted', text: 't', ringEpoch: 2 }]]),
  decisions: new Map([
    ['scaling/s', { id: '1-1', kind: 'scaling', subject: 's', fingerprint: 'f', at: 1, until: 2, cleared: false }],
  ]),
  members: new Map([['m', { role: 'bridge', release: '0.1.0', since: 4 }]]),
  departed: new Map([['d', { role: 'process', release: '0.1.0', how: 'lost', reportedAt: 5, at: 6 }]]),
  locks: new Map([
    ['r', { token: 3, requestId: 'a', holder: 'm', ttlMs: 1_000, since: 4, operation: { what: 'w', since: 5 } }],
  ]),
  operations: [{ resource: 'r', token: 1, outcome: 'done', text: 't', holder: 'm', what: null, at: 3 }],
  waiting: [{ resource: 'r', requestId: 'b', holder: 'n', ttlMs: 1_000, until: 9 }],
  inputOffset: 12,
};

describe('a snapshot of the control log', () => {
  let kafka: MemoryKafka;
  let port: KafkaPort;
  let names: Names;
  beforeEach(async () => {
    kafka = createMemoryKafka();
    port = kafka.connect();
    names = await createControlTopics(port);
    await port.admin.createTopics([{ name: names.snapshots, partitions: 1, config: { 'cleanup.policy': 'compact' } }]);
  });
  afterEach(() => port.close());

  const put = async (value: Uint8Array) => {
    const producer = await port.producer();
    const [outcome] = await producer.send([{ ...snapshotRecord(names.snapshots, full), value }]);
    expect(outcome).toEqual({ kind: 'stored' });
    await producer.close();
  };
  const active = (epoch: number) => encodeEvent(ringActiveEvent({ ...ring, epoch }, 1));

  it('holds the whole state', () => {
    expect(decodeState(encodeState(full))).toEqual(full);
  });

  it('is where a follower begins, so that what lies before may be gone', async () => {
    for (const epoch of [1, 2, 3]) await produce(port, names.control, active(epoch));
    kafka.truncate(names.control, 0, 2n);
    await put(encodeState({ ...full, nextOffset: 1n }));
    await put(encodeState({ ...full, nextOffset: 2n }));
    const log = await followControlLog(port, names);
    expect(log.state).toMatchObject({ nextOffset: 3n, inputOffset: 12, ring: { epoch: 3 } });
    await log.close();
  });

  it('is passed over when another version wrote it: the log tells the same', async () => {
    await produce(port, names.control, active(1));
    await put(Buffer.from('weir control state 999\nwhatever'));
    const log = await followControlLog(port, names);
    expect(log.state).toMatchObject({ nextOffset: 1n, inputOffset: null, ring: { epoch: 1 } });
    await log.close();
  });

  it('that is missing does not let a log pass whose beginning is gone', async () => {
    for (const epoch of [1, 2]) await produce(port, names.control, active(epoch));
    kafka.truncate(names.control, 0, 1n);
    await expect(followControlLog(port, names)).rejects.toMatchObject({
      code: 'CONTROL_LOG_UNREADABLE',
      message: /from offset 0: it now holds offsets 1 to 2 only/,
    });
  });
});
