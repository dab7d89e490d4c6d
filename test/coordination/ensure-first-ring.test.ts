import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { followControlLog } from '../../src/coordination/control-log.ts';
import { ensureFirstRing } from '../../src/coordination/ensure-first-ring.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import type { Names } from '../../src/names.ts';
import { createControlTopics, kernels, readAll, testConfig } from './cluster.ts';

describe('ensureFirstRing', () => {
  let port: KafkaPort;
  let names: Names;
  beforeEach(async () => {
    port = createMemoryKafka().connect();
    names = await createControlTopics(port);
  });
  afterEach(() => port.close());

  it('writes epoch 1 once, also when several call at once', async () => {
    const config = testConfig();
    const outcomes = await Promise.all([1, 2, 3].map(() => ensureFirstRing(port, names, config, kernels)));
    expect(outcomes.filter((outcome) => outcome.kind === 'written')).toHaveLength(1);
    expect((await ensureFirstRing(port, names, config, kernels)).kind).toBe('present');
    expect(await readAll(port, names.control)).toHaveLength(1);
    const log = await followControlLog(port, names);
    expect(log.state.ring).toEqual(firstRing(config, kernels.ring, kernels.hash));
    await log.close();
  });

  it('refuses a configuration that the ring epoch in the log does not fit', async () => {
    await ensureFirstRing(port, names, testConfig(), kernels);
    await expect(
      ensureFirstRing(port, names, defaultConfig({ routing: { vnodes: 8, traces: { shards: 9 } } }), kernels),
    ).rejects.toMatchObject({
      code: 'ROUTING_MISMATCH',
      message: /under ring epoch 1 of weir\.control: routing\.traces\.shards is 9, the ring epoch has 4/,
    });
  });
});
