import { expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { Leadership } from '../../src/coordination/leader.ts';
import { EMPTY_STATE } from '../../src/coordination/state.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { namesFor } from '../../src/names.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';
import { RingActivation } from '../../src/runtime/ring-activation.ts';
import { SIGNALS } from '../../src/signals.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';
import { report } from '../load/reports.ts';

it('says of a proposal that is stuck which partitions it waits for and who works on them, once in a while', async () => {
  const port = createMemoryKafka().connect();
  const names = namesFor('');
  await port.admin.createTopics(SIGNALS.map((signal) => ({ name: names.ingest(signal), partitions: 1, config: {} })));
  const config = defaultConfig({ control: { ring: { ackTimeoutMs: 1_000 } } });
  const lines: string[] = [];
  const window = new LoadWindow({ windowMs: 15_000, slotIntervalMs: 10_000 });
  let nowMs = 1_000_000;
  window.add(report(nowMs, { lag: [{ topic: 'otlp_spans', partition: 0, records: 0 }] }), nowMs);
  const activation = new RingActivation({
    ...{ port, names, config, window, kernel: kernels.split, metrics: createMetrics(), now: () => nowMs },
    log: createLog({ level: 'info', stream: { write: (line) => lines.push(line) } }),
  });
  const ring = { ...firstRing(testConfig(), kernels.ring, kernels.hash), epoch: 2 };
  const proposed = { ring, abandons: null, change: {}, at: nowMs, carryMs: 0, reason: 'r', decisionId: null };
  const lead = {
    state: { ...EMPTY_STATE, proposed },
    write: () => Promise.reject(new Error('nothing was to be written')),
  } as unknown as Leadership;

  for (const passedMs of [0, 999, 1_000, 1_500, 2_000]) {
    nowMs = 1_000_000 + passedMs;
    await activation.advance(lead);
  }
  expect(lines.map((line) => JSON.parse(line))).toMatchObject(
    [1, 2].map((seconds) => ({
      level: 'warn',
      waiting: 3,
      msg:
        `ring epoch 2 is not active after ${seconds} s: it waits for otlp_spans/0 (no offset yet, process-1), ` +
        'otlp_metrics/0 (no offset yet, no processor reports to work on it), otlp_logs/0 (no offset yet, no processor reports to work on it). ' +
        'See to those processors, or take it back with `weir shards abandon`',
    })),
  );
  await port.close();
});
