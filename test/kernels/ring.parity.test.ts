import { describe, expect, it } from 'vitest';
import type { RingShard } from '../../src/kernels/ring/kernel.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';

const VNODES = 160;
const shardsOf = (count: number): RingShard[] => Array.from({ length: count }, (_, shard) => ({ shard, weight: 1 }));

function slotsByShard(owners: Uint16Array): Map<number, number> {
  const slots = new Map<number, number>();
  for (const owner of owners) slots.set(owner, (slots.get(owner) ?? 0) + 1);
  return slots;
}

const movedSlots = (before: Uint16Array, after: Uint16Array) =>
  before.reduce((moved, owner, slot) => moved + (owner === after[slot] ? 0 : 1), 0);

const LAYOUTS: ReadonlyArray<readonly [string, readonly RingShard[], number, 16 | 18]> = [
  ['1 shard', shardsOf(1), VNODES, 16],
  ['16 shards', shardsOf(16), VNODES, 16],
  ['300 shards on 2^18 slots', shardsOf(300), 40, 18],
  ['unequal weights', [0.5, 1, 2, 0.001, 0].map((weight, shard) => ({ shard, weight })), VNODES, 16],
  ['gaps in the numbering, not in order', [9, 4_000, 2, 77].map((shard) => ({ shard, weight: 1 })), VNODES, 16],
  ['one point a shard', shardsOf(16), 1, 16],
];

describe('ring twins', () => {
  it.each(LAYOUTS)('assign alike: %s', (_name, shards, vnodes, slotBits) => {
    const [reference, ...others] = KERNEL_TWINS.map(({ ring }) => ring.assign(shards, vnodes, slotBits));
    for (const owners of others) expect(Buffer.compare(asBytes(owners), asBytes(reference!))).toBe(0);
  });
});

const asBytes = (owners: Uint16Array) => new Uint8Array(owners.buffer, owners.byteOffset, owners.byteLength);

describe.each(KERNEL_TWINS)('ring of the $name kernel', ({ ring }) => {
  it('gives every slot an owner of the list', () => {
    const owners = ring.assign(
      [
        { shard: 3, weight: 1 },
        { shard: 11, weight: 1 },
      ],
      VNODES,
      16,
    );
    expect(owners).toHaveLength(65_536);
    expect([...slotsByShard(owners).keys()].sort((a, b) => a - b)).toEqual([3, 11]);
  });

  it('does not depend on the order of the shards, and its result is not overwritten by the next', () => {
    const owners = ring.assign(shardsOf(16), VNODES, 16);
    const reversed = ring.assign(shardsOf(16).reverse(), VNODES, 16);
    ring.assign(shardsOf(3), VNODES, 16);
    expect(owners).toEqual(reversed);
  });

  it('refuses a ring without shards', () => {
    expect(() => ring.assign([], VNODES, 16)).toThrow(RangeError);
  });

  it('moves slots only to the shard that is added', () => {
    const before = ring.assign(shardsOf(16), VNODES, 16);
    const after = ring.assign(shardsOf(17), VNODES, 16);
    for (const [slot, owner] of after.entries()) if (owner !== before[slot]) expect(owner).toBe(16);
  });

  it('moves slots only away from the shard that is removed', () => {
    const before = ring.assign(shardsOf(16), VNODES, 16);
    const after = ring.assign(
      shardsOf(16).filter(({ shard }) => shard !== 5),
      VNODES,
      16,
    );
    for (const [slot, owner] of after.entries()) {
      if (before[slot] === 5) expect(owner).not.toBe(5);
      else expect(owner).toBe(before[slot]);
    }
  });

  it('moves about 1/N of the slots when one of N shards is added, in the mean over N = 5..24', () => {
    let before = ring.assign(shardsOf(4), VNODES, 16);
    let timesFairShare = 0;
    let additions = 0;
    for (let count = 5; count <= 24; count++, additions++) {
      const after = ring.assign(shardsOf(count), VNODES, 16);
      timesFairShare += (movedSlots(before, after) / before.length) * count;
      before = after;
    }
    expect(timesFairShare / additions).toBeGreaterThan(0.9);
    expect(timesFairShare / additions).toBeLessThan(1.15);
  });

  it('refuses shards and weights that no table can hold', () => {
    expect(() => ring.assign([{ shard: 65_536, weight: 1 }], VNODES, 16)).toThrow(RangeError);
    expect(() => ring.assign([{ shard: -1, weight: 1 }], VNODES, 16)).toThrow(RangeError);
    expect(() => ring.assign([{ shard: 0, weight: Number.NaN }], VNODES, 16)).toThrow(RangeError);
    expect(() => ring.assign([{ shard: 0, weight: Number.POSITIVE_INFINITY }], VNODES, 16)).toThrow(RangeError);
  });

  // Single shards scatter by about 1/sqrt(points); over 32 of them that averages out to a few per cent.
  it.each([0.5, 2, 3])(
    'gives 32 shards of weight %d that many times the slots of 32 of weight 1, within 8 %%',
    (weight) => {
      const shards = Array.from({ length: 64 }, (_, shard) => ({ shard, weight: shard % 2 ? weight : 1 }));
      const heavy = ring.assign(shards, VNODES, 16).reduce((sum, owner) => sum + (owner % 2), 0);
      const times = heavy / (65_536 - heavy) / weight;
      expect(times).toBeGreaterThan(0.92);
      expect(times).toBeLessThan(1.08);
    },
  );

  it('spreads slots over equal shards as 160 points a shard do: standard deviation below 1/sqrt(160) x 1.25', () => {
    const slots = [...slotsByShard(ring.assign(shardsOf(64), VNODES, 16)).values()];
    const mean = 65_536 / 64;
    const deviation = Math.sqrt(slots.reduce((sum, count) => sum + (count - mean) ** 2, 0) / slots.length) / mean;
    expect(deviation).toBeLessThan(1.25 / Math.sqrt(VNODES));
  });
});
