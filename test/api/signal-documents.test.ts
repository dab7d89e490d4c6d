import { expect, it } from 'vitest';
import { signalDocuments } from '../../src/api/signal-documents.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { BY_TRACE_ID, type Override } from '../../src/kernels/split/kernel.ts';
import { namesFor } from '../../src/names.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';
import { report, shardLoad } from '../load/reports.ts';

const NOW = 1_000_000;

it('a signal shows the keys with much of its load, and its overrides, by what they say', () => {
  const first = firstRing(testConfig(), kernels.ring, kernels.hash);
  const traces = {
    ...first.signals.traces,
    overrides: new Map<bigint, Override>([
      [0xabn, BY_TRACE_ID],
      [0xcdn, 1],
    ]),
    hotKeys: new Map([[0xabn, 'service.name=checkout']]),
  };
  const ring = { ...first, signals: { ...first.signals, traces } };
  const window = new LoadWindow({ windowMs: 10_000, slotIntervalMs: 10_000 });
  const key = (keyHash: string, bytes: number, name: string, errorBytes = 1) => ({ keyHash, bytes, errorBytes, name });
  const shards = [0, 1, 2, 3].map((shard) => shardLoad(shard, 1_000));
  const keys = [
    key('00000000000000ab', 1_600, ''),
    key('00000000000000ef', 501, 'a'),
    key('00000000000000f0', 500, 'b'),
    // By a sample or two: it may be anything.
    key('00000000000000f1', 3_000, 'c', 2_600),
  ];
  const slots = { fromUnixMs: NOW - 1_000, toUnixMs: NOW, slotBytes: [], restSlots: 0, restBytes: 0, keys };
  window.add(report(NOW, { signals: [{ signal: 'traces', shards, instances: [], slots }] }), NOW);

  const [document, metrics] = signalDocuments(ring, namesFor(''), window, NOW);
  expect(document).toMatchObject({
    overrides: [
      { keyHash: '00000000000000ab', key: 'service.name=checkout', shard: null },
      { keyHash: '00000000000000cd', key: '', shard: 1 },
    ],
    heavyKeys: [
      // Named by the ring, where no report says what it is.
      { keyHash: '00000000000000ab', key: 'service.name=checkout', share: 0.4, relative: 1.6 },
      { keyHash: '00000000000000ef', key: 'a', share: expect.closeTo(0.125, 3), relative: expect.closeTo(0.5, 2) },
    ],
  });
  expect(metrics!.heavyKeys).toEqual([]);
  expect(signalDocuments(null, namesFor(''), window, NOW)).toEqual([]);
});
