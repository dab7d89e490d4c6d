import { expect, it } from 'vitest';
import { type ConfigInput, defaultConfig } from '../../src/config.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { routingDiffers } from '../../src/coordination/same-routing.ts';
import { kernels, testConfig } from './cluster.ts';

const { hash, ring } = kernels;
type Routing = NonNullable<ConfigInput['routing']>;

it('names everything that the configuration says otherwise than the ring epoch', () => {
  const held = firstRing(testConfig(), ring, hash);
  const configured = (routing: Routing) =>
    routingDiffers(defaultConfig({ routing: { ...testConfig().routing, ...routing } }), held, hash);
  expect(configured({})).toBeNull();
  expect(configured({ traces: { key: 'service.name', shards: 4 }, logs: { shards: 5 } })).toBe(
    'routing.traces.key is service.name, the ring epoch has trace_id; routing.logs.shards is 5, the ring epoch has 4',
  );
  expect(configured({ overrides: [{ signal: 'logs', key: 'x', shard: 0 }] })).toMatch(/overrides of logs/);
  const later = { ...held, epoch: 2 };
  expect(routingDiffers(defaultConfig({ routing: { vnodes: 8 } }), later, hash)).toBeNull();
});
