import { describe, expect, it } from 'vitest';
import { changeText } from '../../src/cli/change-texts.ts';
import { decisionsText } from '../../src/cli/decision-texts.ts';
import { describeError } from '../../src/cli/exit.ts';
import { lagText, locksText, membersText, ringText } from '../../src/cli/inspect.ts';
import { aheadText, routeText } from '../../src/cli/shards.ts';
import { table } from '../../src/cli/table.ts';
import type { Decision } from '../../src/control/decision.ts';
import { WeirError } from '../../src/errors.ts';

describe('a table', () => {
  it('aligns texts to the left and numbers to the right, without blanks at line ends', () => {
    expect(
      table(
        [
          ['a', 1, 'x'],
          ['bcd', 200, ''],
        ],
        ['name', 'n', 'why'],
      ),
    ).toBe('name    n  why\na       1  x\nbcd   200\n');
  });

  it('is empty without rows and head', () => {
    expect(table([])).toBe('');
  });
});

describe('an error', () => {
  it('of a known code is one line, a bug has its stack and its cause', () => {
    expect(describeError(new WeirError('PORT_TAKEN', 'in use'))).toEqual({ text: 'weir: in use\n', code: 1 });
    const { text, code } = describeError(new TypeError('a bug', { cause: new Error('the root') }));
    expect(code).toBe(70);
    expect(text).toMatch(/^weir: this is a bug, please report it:\nTypeError: a bug\n\s+at .*texts\.test\.ts/);
    expect(text).toContain('caused by Error: the root');
  });
});

const common = {
  version: 1,
  id: '7-1',
  priority: 'normal',
  at: '2026-01-01T00:00:00.000Z',
  ringEpoch: 1,
  leaderEpoch: 7,
  inputOffset: 3,
  status: 'emitted',
} as const;
const reason = { rule: 'cpu-high', observed: 0.9, threshold: 0.8, window: 15_000, text: 'mean CPU 0.90 is above 0.80' };

describe('weir inspect', () => {
  it('shows the ring and who leads', () => {
    const text = ringText({
      prefix: '',
      kafka: 'Apache Kafka at a:1',
      ringEpoch: 2,
      leader: { member: 'm-1', leaderEpoch: 9, since: '2026-01-01T00:00:00.000Z' },
      signals: [
        {
          signal: 'logs',
          key: 'trace_id',
          ingestTopic: 'otlp_logs',
          slots: 65_536,
          shards: 16,
          overrides: [],
          heavyKeys: [],
        },
      ],
      change: {
        ringEpoch: 3,
        abandons: null,
        stuck: false,
        reason: 'half of shard logs-0001 goes to the new shard logs-0016',
        proposedAt: '2026-01-01T00:01:00.000Z',
        signals: [{ signal: 'logs', slotsMoved: 2_048, added: ['logs-0016'], retired: [] }],
        partitions: 36,
        waitingFor: [
          { topic: 'otlp_logs', partition: 3, ringEpoch: 2, member: 'p-1' },
          { topic: 'otlp_logs', partition: 4, ringEpoch: null, member: null },
        ],
      },
      waiting: [
        {
          ...{ id: 'r-1', member: 'm-2', wish: { kind: 'merge', shard: 'logs-0001', into: 'logs-0002' } },
          ...{ since: '2026-01-01T00:01:10.000Z', until: '2026-01-01T00:01:40.000Z' },
        },
      ],
    });
    expect(text).toMatch(
      /^Waiting, the next one first .*\nchange .*\nmerge shard=logs-0001 into=logs-0002 +m-2 +2026-01-01T00:01:10.000Z +2026-01-01T00:01:40.000Z +r-1$/m,
    );
    expect(text).toContain(
      'Ring epoch 3 is in flight since 2026-01-01T00:01:00.000Z: half of shard logs-0001 goes to the new shard logs-0016.\n' +
        '  logs: 2048 slots move, new shards logs-0016\n' +
        '  34 of 36 input partitions have adopted it; it waits for otlp_logs/3 (at 2), which p-1 works on; ' +
        'for otlp_logs/4 (no offset yet), which no processor reports to work on\n',
    );
    expect(text).toContain('prefix      (none)');
    expect(text).toContain('m-1 since 2026-01-01T00:00:00.000Z (leader epoch 9)');
    expect(text).toMatch(/^logs +otlp_logs +trace_id +16 +65536 +0$/m);
  });

  it('shows decisions as in a log: oldest first, what, and why', () => {
    const scaling: Decision = {
      ...common,
      kind: 'scaling',
      subject: 'checkout',
      action: 'scale_out',
      from: 2,
      to: 3,
      reasons: [reason],
    };
    const even = { maxOverMean: 1, coefficientOfVariation: 0, gini: 0 };
    const rebalance: Decision = {
      ...common,
      kind: 'rebalance',
      subject: 'traces',
      action: 'move_slots',
      distribution: { before: even, after: even },
      from: 2.1,
      to: 1.1,
      hotShards: [1],
      slotsMoved: 12,
      moves: [],
      unmovable: [],
      at: '2026-01-01T00:01:00.000Z',
      reasons: [{ ...reason, text: 'shard 1 has 2.10 times the mean' }],
    };
    expect(decisionsText({ decisions: [rebalance, scaling] })).toBe(
      '2026-01-01T00:00:00.000Z  scaling  checkout: scale out from 2 to 3  (emitted)\n    mean CPU 0.90 is above 0.80\n' +
        '2026-01-01T00:01:00.000Z  rebalance  traces: move 12 slots, hottest shard from 2.10 to 1.10 times its fair share  (emitted)\n' +
        '    shard 1 has 2.10 times the mean\n',
    );
    const left: Decision = { ...rebalance, notApplied: 'control.rebalance.apply is false' };
    expect(decisionsText({ decisions: [left] })).toMatch(
      /\n {4}not carried out: control\.rebalance\.apply is false\n$/,
    );
    const stays = (text: string) => ({ shard: 1, slot: 5, slotBytesPerSecond: 9, text });
    const stuck: Decision = { ...rebalance, action: 'cannot_balance', unmovable: [stays('slot 5 alone is too much')] };
    expect(decisionsText({ decisions: [stuck] })).toContain(
      'cannot be balanced by moving slots (hottest shard 2.10 times its fair share): slot 5 alone is too much  (emitted)',
    );
    const many: Decision = { ...scaling, reasons: ['a', 'b', 'c', 'd', 'e'].map((text) => ({ ...reason, text })) };
    expect(decisionsText({ decisions: [many] })).toContain('\n    a; b; c; and 2 more\n');
    expect(decisionsText({ decisions: [] })).toBe('No decision yet.\n');
  });

  it('shows which keys are hot, what is done about them, and where they go', () => {
    const hot: Decision = {
      ...common,
      kind: 'hot_key',
      subject: 'traces/00000000000000ff',
      signal: 'traces',
      keyHash: '00000000000000ff',
      key: 'service.name=checkout',
      share: 0.38,
      ...{ action: 'spread_key', fromShard: 3, toShard: null, from: 6.1, to: 1.4 },
      ...{ bytesPerSecond: 380, errorBytesPerSecond: 2 },
      reasons: [reason],
    };
    const says = (of: Partial<typeof hot>) => decisionsText({ decisions: [{ ...hot, ...of }] }).split('\n')[0]!;
    expect(says({})).toContain('spread key service.name=checkout (38.0% of the load) over all shards by trace id');
    expect(says({ action: 'isolate_key', toShard: 3, key: '' })).toContain(
      'give key 00000000000000ff (38.0% of the load) shard 3 for itself',
    );
    expect(says({ action: 'release_key', toShard: 3 })).toContain('go by its slot again, to shard 3');

    const text = ringText({
      ...{ prefix: '', kafka: 'Apache Kafka at a:1', ringEpoch: 2, leader: null, change: null, waiting: [] },
      signals: [
        {
          ...{ signal: 'traces', key: 'service.name', ingestTopic: 'otlp_spans', slots: 65_536, shards: 16 },
          overrides: [
            { keyHash: '00000000000000ff', key: 'service.name=checkout', shard: null },
            { keyHash: '00000000000000fe', key: '', shard: 2 },
          ],
          heavyKeys: [
            { keyHash: '00000000000000ff', key: 'service.name=checkout', share: 0.38, relative: 6.08 },
            { keyHash: '00000000000000fd', key: 'service.name=cart', share: 0.04, relative: 0.64 },
          ],
        },
      ],
    });
    expect(text).toMatch(/^traces +service\.name=checkout +00000000000000ff +38\.0% +6\.08 +all, by trace id$/m);
    expect(text).toMatch(/^traces +service\.name=cart +00000000000000fd +4\.0% +0\.64 +-$/m);
    expect(text).toMatch(/^traces +- +00000000000000fe +- +- +shard 2$/m);

    const place = { ringEpoch: 2, slot: null, shard: null, name: null, topic: null };
    const route = { signal: 'traces', key: 'checkout', routedBy: 'service.name', keyHash: 'ff' } as const;
    expect(routeText({ ...route, now: place, pending: null })).toContain('all shards, each item by its trace id');
  });

  it('shows locks and what became of operations', () => {
    expect(locksText({ locks: [], operations: [] })).toBe('No lock is held.\n');
    const at = '2026-01-01T00:00:00.000Z';
    const of = { resource: 'ring', token: 7, holder: 'm-1' };
    const lock = { ...of, since: at, ttlSeconds: 30, operation: 'split shard=a', waiting: ['m-2', 'm-3'] };
    const past = { ...of, at, what: 'split shard=b', outcome: 'failed' as const, text: 'no such shard' };
    expect(locksText({ locks: [lock], operations: [past] })).toMatch(
      /^lock .*\nring +7 +m-1 +2026\S+ +split shard=a +2\n\nended .*\n2026\S+ +ring +m-1 +split shard=b +failed +no such shard\n$/,
    );
  });

  it('shows lag and members', () => {
    const partition = { topic: 'otlp_spans', partition: 0, committed: null, latest: 7, records: 7, ringEpoch: null };
    expect(lagText({ group: 'weir-process', totalRecords: 7, partitions: [partition] })).toMatch(
      /^Group weir-process: 7 records behind\ntopic .*\notlp_spans +0 +- +7 +7 +-\n$/,
    );
    expect(membersText({ windowSeconds: 0, leader: null, members: [], departed: [] }, 0)).toBe(
      'There is no leader yet.\nNo member has reported load lately.\n',
    );
    const at = '2026-01-01T00:00:00.000Z';
    const of = { version: '0.1.0', lastReport: at };
    const bridge = {
      ...{
        ...of,
        id: 'b-1',
        role: 'bridge',
        since: at,
        cpuCores: 0.25,
        memoryBytes: 90e6,
        ringEpoch: 0,
        partitions: [],
      },
      ...{ itemsPerSecond: 1_000, bytesPerSecond: 2_000 },
    };
    const gone = { ...of, id: 'p-1', role: 'process', how: 'lost' as const, at };
    const leader = { member: 'c-1', leaderEpoch: 3, since: at };
    const unheard = { ...gone, id: 'p-2', lastReport: null };
    const document = { windowSeconds: 15, leader, members: [bridge], departed: [gone, unheard] };
    expect(membersText(document, Date.parse(at) + 1_250)).toMatch(
      /^Leader: c-1 since \S+; it has not reported lately.*\nrole .*\nbridge +b-1 +0\.1\.0 +25\.0% +90\.0 MB +- +0 +1000 +2\.0 kB +1\.3 s ago\n\ngone .*\nlost +process +p-1 .*\nlost +process +p-2 +0\.1\.0 +- +2026\S+\n$/,
    );
    const led = { ...document, members: [bridge, { ...bridge, id: 'c-1', role: 'control' }] };
    expect(membersText(led, Date.parse(at))).toMatch(/^Leader: c-1 since \S+\n/);
  });
});

describe('a change that is stuck', () => {
  const waiting = { topic: 'otlp_logs', partition: 3, ringEpoch: 2, member: 'p-1' };
  const change = {
    ...{ ringEpoch: 3, abandons: null, reason: 'why', proposedAt: '2026-01-01T00:01:00.000Z', stuck: true },
    ...{ signals: [], partitions: 36, waitingFor: [waiting] },
  };

  it('is called so, with what can be done about it', () => {
    expect(changeText(change)).toBe(
      '\nRing epoch 3 is STUCK, in flight since 2026-01-01T00:01:00.000Z: why.\n' +
        '  35 of 36 input partitions have adopted it; it waits for otlp_logs/3 (at 2), which p-1 works on\n' +
        '  See that processors work on them, or take the change back with `weir shards abandon`.\n',
    );
  });

  it('can be ended while it copies, and cannot be taken back where it takes another back', () => {
    expect(changeText({ ...change, waitingFor: [] })).toContain('  `weir shards abandon` ends the copying');
    expect(changeText({ ...change, abandons: 2 })).toContain(
      '  See that processors work on them: this takes ring epoch 2 back, and cannot itself be taken back.\n',
    );
  });
});

describe('weir route', () => {
  const now = { ringEpoch: 3, slot: 7, shard: 1, name: 'traces-0001', topic: 'otlp_spans_shard_0001' };
  const route = { signal: 'traces', routedBy: 'trace_id', keyHash: '44bc2cf5ad770999', now, pending: null } as const;

  it('says of a text that is no trace id what it takes it for', () => {
    expect(routeText({ ...route, key: '0af7651916cd43dd8448eb211c80319' })).toContain('no trace id: taken as');
    expect(routeText({ ...route, key: '0af7651916cd43dd8448eb211c80319c' })).toContain('(trace_id of traces, hash');
  });
});

describe('weir shards', () => {
  it('says what a change comes behind', () => {
    const lock = { requestId: 'r', holder: 'host-7', ttlMs: 1, token: 3, since: 0 };
    const operation = { what: 'split shard=traces-0003', since: 0 };
    const ahead = (held: object) =>
      aheadText({ locks: new Map([['ring', { ...lock, operation: null, ...held }]]), proposed: null });
    expect(aheadText({ locks: new Map(), proposed: null })).toBe(null);
    expect(ahead({})).toBe('host-7 has the lock ring');
    expect(ahead({ operation })).toBe('host-7 has the lock ring for "split shard=traces-0003"');
  });
});
