import { expect, it } from 'vitest';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';
import { carryRouting } from '../../src/runtime/carry.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';

const { traces } = firstRing(testConfig(), kernels.ring, kernels.hash).signals;
const slotOf = (shard: number) => traces.slots.indexOf(shard);
const hashIn = (slot: number, low = 1n) => (BigInt(slot) << 48n) | low;

it('copies of a shard what it loses, by its slot or by an override, and nothing else', () => {
  const [moved, foreign] = [slotOf(1), slotOf(0)];
  const slots = traces.slots.slice();
  slots[moved] = 2;
  const base: SignalRing = {
    ...traces,
    overrides: new Map([
      // Held by shard 1 whatever becomes of their slots; the second goes to 3 by the change, the third loses its override.
      [hashIn(moved, 5n), 1],
      [hashIn(foreign, 6n), 1],
      [hashIn(foreign, 7n), 1],
      // Held by another one, though its slot is shard 1's.
      [hashIn(moved, 8n), 0],
    ]),
  };
  const overrides = new Map([...base.overrides].filter(([hash]) => hash !== hashIn(foreign, 7n)));
  overrides.set(hashIn(foreign, 6n), 3);
  const routing = carryRouting(base, { ...base, slots, overrides }, 1);
  expect(routing.slots[moved]).toBe(2);
  expect(routing.slots.filter((shard) => shard !== 1)).toHaveLength(1);
  expect([5n, 6n, 7n].map((low, i) => routing.overrides.get(hashIn(i === 0 ? moved : foreign, low)))).toEqual([
    1, 3, 0,
  ]);
  expect(routing.overrides.get(hashIn(moved, 8n))).toBe(1);
  expect(routing.shardCount).toBe(4);
});
