import { expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { Leadership } from '../../src/coordination/leadership.ts';
import { offsetMetadata } from '../../src/coordination/ring-epoch.ts';
import { EMPTY_STATE } from '../../src/coordination/state.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { namesFor } from '../../src/names.ts';
import { LoadWindow } from '../../src/runtime/load-window.ts';
import { RingActivation } from '../../src/runtime/ring-activation.ts';
import { SIGNALS } from '../../src/signals.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';
import { report } from '../load/reports.ts';
import { standIn } from '../support/stand-in.ts';

async function openActivation(options: { readonly port?: (port: KafkaPort) => KafkaPort } = {}) {
  const port = createMemoryKafka().connect();
  const names = namesFor('');
  await port.admin.createTopics(SIGNALS.map((signal) => ({ name: names.ingest(signal), partitions: 1, config: {} })));
  const config = defaultConfig({ control: { ring: { ackTimeoutMs: 1_000 } } });
  const lines: string[] = [];
  const window = new LoadWindow({ windowMs: 15_000, slotIntervalMs: 10_000 });
  const clock = { nowMs: 1_000_000 };
  const activation = new RingActivation({
    ...{ names, config, window, kernel: kernels.split, metrics: createMetrics(), now: () => clock.nowMs },
    port: options.port?.(port) ?? port,
    log: createLog({ level: 'info', stream: { write: (line) => lines.push(line) } }),
  });
  const ring = { ...firstRing(testConfig(), kernels.ring, kernels.hash), epoch: 2 };
  const proposed = {
    ring,
    abandons: null,
    change: {},
    at: clock.nowMs,
    carryFrom: null,
    reason: 'r',
    decisionId: null,
  };
  const adopt = async () => {
    const sink = await port.openSink({ fencingKey: 'k', groupId: names.processGroup, transactionTimeoutMs: 10_000 });
    const offsets = SIGNALS.map((signal) => ({ topic: names.ingest(signal), partition: 0, offset: 0n }));
    expect(await sink.commit(offsets.map((at) => ({ ...at, metadata: offsetMetadata(2) })))).toMatchObject({
      kind: 'committed',
    });
    await sink.close();
  };
  const said = () => lines.map((line) => JSON.parse(line));
  return { port, names, window, clock, activation, proposed, adopt, said };
}

const leadOf = (proposed: object, write: Leadership['write']) =>
  ({ state: { ...EMPTY_STATE, proposed }, write }) as unknown as Leadership;
const refusing = (why: string) => () => Promise.reject(new Error(why));

it('says of a proposal that is stuck which partitions it waits for and who works on them, once in a while', async () => {
  const { port, window, clock, activation, proposed, said } = await openActivation();
  const { nowMs: atMs } = clock;
  window.add(report(atMs, { lag: [{ topic: 'otlp_spans', partition: 0, records: 0 }] }), atMs);
  const lead = leadOf(proposed, refusing('nothing was to be written'));

  for (const passedMs of [0, 999, 1_000, 1_500, 2_000]) {
    clock.nowMs = atMs + passedMs;
    await activation.advance(lead);
  }
  expect(said()).toMatchObject(
    [1, 2].map((seconds) => ({
      level: 'warn',
      waiting: 3,
      msg:
        `ring epoch 2 is not active after ${seconds} s: it waits for otlp_spans/0 (no offset yet), which process-1 works on; ` +
        'for otlp_metrics/0 (no offset yet), otlp_logs/0 (no offset yet), which no processor reports to work on. ' +
        'See that processors work on them, or take the change back with `weir shards abandon`',
    })),
  );
  await port.close();
});

it('tries again later what could not be read, and says what that was', async () => {
  const failing = (port: KafkaPort): KafkaPort =>
    standIn(port, { admin: standIn(port.admin, { committedOffsets: refusing('no broker answers') }) });
  const { port, activation, proposed, said } = await openActivation({ port: failing });
  const lead = leadOf(proposed, refusing('nothing was to be written'));
  expect(await activation.advance(lead)).toEqual({ kind: 'committed' });
  expect(said()).toMatchObject([
    {
      ...{ level: 'warn', err: { message: 'no broker answers' } },
      msg: 'ring epoch 2: which partitions have adopted it could not be read; trying again at a later tick',
    },
  ]);
  await port.close();
});

it('does not take for a failure to read that what all have adopted cannot be written', async () => {
  const { port, activation, proposed, adopt, said } = await openActivation();
  await adopt();
  const carrying = { ...proposed, carryFrom: 1, adoptedAt: null };
  const lead = leadOf(carrying, refusing('not an event'));
  await expect(activation.advance(lead)).rejects.toThrow('not an event');
  expect(said()).toEqual([]);
  await port.close();
});
