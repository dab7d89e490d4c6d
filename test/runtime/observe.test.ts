import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { encodeLoadReport } from '../../src/load/codec.ts';
import type { LoadReport } from '../../src/load/load-report.ts';
import type { Names } from '../../src/names.ts';
import { type Observer, observe } from '../../src/runtime/observe.ts';
import { createControlTopics, produce } from '../coordination/cluster.ts';
import { report } from '../load/reports.ts';
import { eventually } from '../support/eventually.ts';

const NOW = 50_000;
const config = defaultConfig();

describe('the observer', () => {
  let port: KafkaPort;
  let names: Names;
  let observer: Observer | null;
  const warn = vi.fn();
  const open = async (onReport = (_: LoadReport) => {}) => {
    observer = await observe(port, names, config, { now: () => NOW, log: warn, onReport });
    return observer;
  };
  beforeEach(async () => {
    warn.mockClear();
    observer = null;
    port = createMemoryKafka().connect();
    names = await createControlTopics(port);
  });
  afterEach(async () => {
    await observer?.close();
    await port.close();
  });

  it('has the reports of the window that were there before it, and those that come', async () => {
    await produce(port, names.load, encodeLoadReport(report(NOW - 40_000)));
    await produce(port, names.load, encodeLoadReport(report(NOW - 2_000)));
    const { window } = await open();
    expect(window.members(NOW)).toMatchObject([{ lastHeardUnixMs: NOW - 2_000 }]);
    await produce(port, names.load, encodeLoadReport(report(NOW - 1_000)));
    await eventually(() => expect(window.members(NOW)).toMatchObject([{ lastHeardUnixMs: NOW - 1_000 }]));
    expect(observer!.inputOffset).toBe(3);
  });

  it('tells of reports from before the window only that a member leaves, so that whoever leads next does not take it for lost', async () => {
    const told: [number, boolean][] = [];
    for (const leaving of [false, true])
      await produce(port, names.load, encodeLoadReport(report(NOW - 40_000 + (leaving ? 1 : 0), { leaving })));
    await produce(port, names.load, encodeLoadReport(report(NOW - 2_000)));
    await open(({ toUnixMs, leaving }) => told.push([toUnixMs - NOW, leaving]));
    expect(told).toEqual([
      [-39_999, true],
      [-2_000, false],
    ]);
  });

  it('goes on after records that are no load report, and names them', async () => {
    const { window } = await open();
    await produce(port, names.load, Buffer.from([0xff, 0xff]));
    await produce(port, names.load, null);
    await produce(port, names.load, encodeLoadReport(report(NOW)));
    await eventually(() => expect(window.members(NOW)).toHaveLength(1));
    expect(warn.mock.calls.map(([fields]) => fields)).toEqual([
      { topic: 'weir.load', offset: '0' },
      { topic: 'weir.load', offset: '1' },
    ]);
  });
});
