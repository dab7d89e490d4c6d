import { pino } from 'pino';
import { expect, it } from 'vitest';
import { type ConfigInput, defaultConfig } from '../../src/config.ts';
import type { Decided } from '../../src/control/decide.ts';
import { type CapacityProposal, decodeDecision, type HotKeyProposal } from '../../src/control/decision.ts';
import { MAX_SHARD_IDS } from '../../src/control/shard-change.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { Leadership, LeaderWrite } from '../../src/coordination/leadership.ts';
import { EMPTY_STATE } from '../../src/coordination/state.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { createMetrics } from '../../src/metrics.ts';
import { namesFor } from '../../src/names.ts';
import { DecisionWriter } from '../../src/runtime/decision-writer.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';
import { RingProposals } from '../../src/runtime/ring-proposals.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';

const even = { maxOverMean: 1, coefficientOfVariation: 0, gini: 0 };
const split: CapacityProposal = {
  ...{ kind: 'capacity', subject: 'traces', action: 'split', priority: 'normal', shard: 1, from: 2, to: 1 },
  ...{ shards: { before: 4, after: 5 }, fill: { before: 1, after: 0.8 }, distribution: { before: even, after: even } },
  ...{
    overCapacity: [1],
    slotsMoved: 8_000,
    moves: [{ from: 1, to: null, runs: [0, 8_000], bytesPerSecond: 1 }],
    bytesPerSecond: 1,
    copiedBytes: 30,
    alternatives: [],
  },
  reasons: [{ rule: 'over-capacity', observed: 2, threshold: 1, window: 15_000, text: 'why' }],
};
const spread: HotKeyProposal = {
  ...{
    kind: 'hot_key',
    subject: 'traces/00000000000000ff',
    action: 'spread_key',
    priority: 'normal',
    signal: 'traces',
  },
  ...{ keyHash: '00000000000000ff', key: 'service.name=checkout', share: 0.6, fromShard: 3, toShard: null },
  ...{ from: 2, to: 1, bytesPerSecond: 9, errorBytesPerSecond: 1, reasons: split.reasons },
};
const decided: Decided = {
  actions: [{ proposal: split, fingerprint: 'f', until: 60_000 }],
  ...{ cleared: [], conditions: new Map(), reasons: [], verification: null },
};

function openWriter(topics: ConfigInput['topics'], nextTrace: number, apply = true) {
  const { routing } = testConfig();
  const config = defaultConfig({ routing, topics, control: { capacity: { apply }, rebalance: { apply } } });
  const port = createMemoryKafka().connect();
  const names = namesFor('');
  const warnings: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => void warnings.push(JSON.parse(line).msg) });
  const ring = firstRing(config, kernels.ring, kernels.hash);
  const state = { ...EMPTY_STATE, ring, nextShard: { traces: nextTrace, metrics: 4, logs: 4 } };
  const written: LeaderWrite[] = [];
  const lead: Leadership = {
    ...{ name: 'control', leaderEpoch: 7, state, signal: new AbortController().signal },
    async write(batch) {
      written.push(batch);
      return { kind: 'committed' };
    },
  };
  const window = new LoadWindow({ windowMs: 15_000, slotIntervalMs: 10_000 });
  const proposals = new RingProposals({ port, names, config, ring: kernels.ring, window, now: () => 5 });
  const writer = new DecisionWriter({ port, names, config, metrics: createMetrics(), log, proposals });
  const tick = (at: number, of: Decided = decided) => writer.write(lead, of, { at, inputOffset: 3 });
  return { port, names, warnings, written, tick };
}

it('makes a decision whose topic cannot be created at a later tick, and warns of it once a minute', async () => {
  const { port, names, warnings, written, tick } = openWriter({ create: false }, 4);

  for (const at of [100_000, 101_000, 159_999, 160_000]) expect(await tick(at)).toEqual({ kind: 'committed' });
  expect(written).toEqual([]);
  expect(warnings).toHaveLength(2);
  expect(warnings[0]).toMatch(/waits: its topic cannot be created: .*topics\.create is false/s);

  await port.admin.createTopics([{ name: names.shard('traces', 4), partitions: 1, config: {} }]);
  await tick(161_000);
  const [{ events, records } = {}] = written;
  expect(events).toMatchObject([
    { type: 'RingProposed', version: 1, epoch: 2, reason: 'decision 7-1: why', decisionId: '7-1' },
    { type: 'DecisionMade', id: '7-1', kind: 'capacity', fingerprint: 'f' },
  ]);
  expect(decodeDecision(records![0]!.value!)).toMatchObject({ id: '7-1', status: 'proposed', action: 'split' });
  await port.close();
});

it('writes of a key that is spread so that members that know of none stop at it', async () => {
  const { port, written, tick } = openWriter({}, 4);
  await tick(100_000, { ...decided, actions: [{ proposal: spread, fingerprint: 'f', until: 60_000 }] });
  expect(written[0]!.events![0]).toMatchObject({
    ...{ type: 'RingProposed', version: 2 },
    change: { traces: { overrides: [{ keyHash: spread.keyHash, shard: 'trace_id', key: spread.key }] } },
  });
  await port.close();
});

it('says why a decision is not carried out', async () => {
  const { port, warnings, written, tick } = openWriter({}, MAX_SHARD_IDS);
  await tick(100_000);
  expect(warnings).toEqual([expect.stringMatching(/^decision 7-1 is not carried out: traces has had 4096 shards/)]);
  const [{ events, records } = {}] = written;
  expect(events).toMatchObject([{ type: 'DecisionMade', id: '7-1' }]);
  expect(decodeDecision(records![0]!.value!)).toMatchObject({
    ...{ id: '7-1', status: 'emitted', notApplied: expect.stringMatching(/^traces has had 4096 shards/) },
  });
  await port.close();
});

it('says of a decision that it is told not to carry out which setting tells so, and what to do by hand', async () => {
  const { port, written, tick } = openWriter({}, 4, false);
  const takes = [0, 1].map((from) => ({ from, to: null, runs: [from, 1], bytesPerSecond: 1 }));
  const merge: CapacityProposal = { ...split, action: 'merge', shard: 2 };
  for (const proposal of [split, { ...split, moves: takes }, merge, spread])
    await tick(100_000, { ...decided, actions: [{ proposal, fingerprint: 'f', until: 60_000 }] });
  const decisions = written.map(({ records }) => decodeDecision(records![0]!.value!)!);
  expect(decisions.map(({ status, notApplied }) => [status, notApplied])).toEqual([
    ['emitted', 'control.capacity.apply is false; by hand: `weir shards split traces-0001`'],
    ['emitted', 'control.capacity.apply is false; by hand: `weir shards create NAME --signal traces`'],
    ['emitted', 'control.capacity.apply is false; by hand: `weir shards retire traces-0002`'],
    ['emitted', 'control.rebalance.apply is false'],
  ]);
  expect(written.flatMap(({ events }) => events!.map(({ type }) => type))).not.toContain('RingProposed');
  await port.close();
});
