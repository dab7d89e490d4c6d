import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import createXxhash from 'xxhash-wasm';
import { LOOK_UP_HASHES, type Ring, type RingShard } from '../../src/kernels/ring/kernel.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
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
  ['one vnode a shard', shardsOf(16), 1, 16],
  ['more shards than slots to share out', shardsOf(3).concat({ shard: 7, weight: 1e-9 }), VNODES, 16],
  ['no weight at all', shardsOf(3).map(({ shard }) => ({ shard, weight: 0 })), VNODES, 16],
];

/** Name, shards, slot bits. */
const WEIGHTED: ReadonlyArray<readonly [string, readonly RingShard[], 16 | 18]> = [
  ['3 equal shards', shardsOf(3), 16],
  ['16 equal shards', shardsOf(16), 16],
  ['64 equal shards', shardsOf(64), 16],
  [
    '24 shards of weights 1/2, 1, 2 and 3',
    shardsOf(24).map(({ shard }) => ({ shard, weight: [0.5, 1, 2, 3][shard % 4]! })),
    16,
  ],
  [
    '32 shards of weights 0.25 to 8 on 2^18 slots',
    shardsOf(32).map(({ shard }) => ({ shard, weight: (shard + 1) / 4 })),
    18,
  ],
  ['one of a thousandth', shardsOf(5).map(({ shard }) => ({ shard, weight: shard === 2 ? 0.001 : 1 })), 16],
];

describe('ring twins', () => {
  const [reference, ...others] = KERNEL_TWINS.map((twin) => twin.ring);

  it.each(LAYOUTS)('assign alike: %s', (_name, shards, vnodes, slotBits) => {
    const expected = reference!.build(shards, vnodes, slotBits);
    for (const ring of others) {
      const built = ring.build(shards, vnodes, slotBits);
      expect(Buffer.compare(asBytes(built.slots), asBytes(expected.slots))).toBe(0);
      expect(built.points).toEqual(expected.points);
      expect(Buffer.compare(asBytes(ring.assign(shards, vnodes, slotBits)), asBytes(expected.slots))).toBe(0);
    }
  });

  it('assign alike any shards of any weights, in any order', () => {
    const shard = fc.record({
      shard: fc.integer({ min: 0, max: 65_535 }),
      weight: fc.double({ min: 0, max: 3, noNaN: true }),
    });
    const layout = fc.uniqueArray(shard, { minLength: 1, maxLength: 6, selector: ({ shard }) => shard });
    fc.assert(
      fc.property(layout, fc.integer({ min: 1, max: 20 }), (shards, vnodes) => {
        const expected = reference!.build(shards, vnodes, 16);
        for (const ring of others) {
          const built = ring.build(shards.toReversed(), vnodes, 16);
          expect(Buffer.compare(asBytes(built.slots), asBytes(expected.slots))).toBe(0);
          expect(built.points).toEqual(expected.points);
        }
      }),
      { seed: 16, numRuns: 40 },
    );
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

  it('moves slots to the shard that is added, and hardly any between the others', () => {
    const before = ring.assign(shardsOf(16), VNODES, 16);
    const after = ring.assign(shardsOf(17), VNODES, 16);
    const elsewhere = after.reduce((n, owner, slot) => n + (owner === before[slot] || owner === 16 ? 0 : 1), 0);
    expect(elsewhere).toBeLessThan(0.01 * 65_536);
  });

  it('moves slots away from the shard that is removed, and hardly any between the others', () => {
    const before = ring.assign(shardsOf(16), VNODES, 16);
    const others = shardsOf(16).filter(({ shard }) => shard !== 5);
    const after = ring.assign(others, VNODES, 16);
    expect(after).not.toContain(5);
    const elsewhere = after.reduce((n, owner, slot) => n + (owner === before[slot] || before[slot] === 5 ? 0 : 1), 0);
    expect(elsewhere).toBeLessThan(0.01 * 65_536);
  });

  it('moves at most 1.15/N of the slots when one of N shards is added, in the mean over N = 5..24', () => {
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

  it.each(WEIGHTED)('gives each shard its weight in slots, within 5 %% of it: %s', (_name, shards, slotBits) => {
    const slots = slotsByShard(ring.assign(shards, VNODES, slotBits));
    const weights = shards.reduce((sum, { weight }) => sum + weight, 0);
    for (const { shard, weight } of shards) {
      const fair = (2 ** slotBits * weight) / weights;
      const tenth = (0.1 * 2 ** slotBits) / shards.length;
      expect(Math.abs((slots.get(shard) ?? 0) - fair), `shard ${shard}`).toBeLessThanOrEqual(
        0.05 * Math.max(fair, tenth),
      );
    }
  });

  it('moves slots in proportion when a weight changes, and hardly any between the others', () => {
    const heavier = shardsOf(16).map(({ shard }) => ({ shard, weight: shard === 5 ? 2 : 1 }));
    const before = ring.assign(shardsOf(16), VNODES, 16);
    const after = ring.assign(heavier, VNODES, 16);
    const gained = slotsByShard(after).get(5)! - slotsByShard(before).get(5)!;
    expect(gained / 65_536).toBeGreaterThan((2 / 17 - 1 / 16) * 0.85);
    expect(movedSlots(before, after)).toBeLessThan(gained * 1.1);
  });

  it('refuses shards and weights that no table can hold', () => {
    const one = (shard: number, weight: number, vnodes = VNODES) => ring.assign([{ shard, weight }], vnodes, 16);
    expect(() => one(65_536, 1)).toThrow(RangeError);
    expect(() => one(-1, 1)).toThrow(RangeError);
    expect(() => one(1.5, 1)).toThrow(/shard 1\.5 is not an integer from 0 to 65535/);
    expect(() => one(0, Number.NaN)).toThrow(/shard 0 cannot have the weight NaN at 160 vnodes/);
    expect(() => one(0, Number.POSITIVE_INFINITY)).toThrow(RangeError);
    expect(() => one(0, -1)).toThrow(RangeError);
    expect(() => one(0, 1_000)).toThrow(RangeError);
    expect(() => one(0, 1, Number.NaN)).toThrow(RangeError);
    expect(() => ring.assign([...shardsOf(3), { shard: 2, weight: 1 }], VNODES, 16)).toThrow(
      /shard 2 is on the ring twice/,
    );
  });

  describe('looked up by hash', () => {
    const shards: readonly RingShard[] = [
      { shard: 4, weight: 1 },
      { shard: 0, weight: 0.3 },
      { shard: 65_535, weight: 2 },
    ];
    let built: Ring;
    beforeAll(() => {
      built = ring.build(shards, VNODES, 16);
    });

    it('gives the owner of each slot for its start', () => {
      const owners = Uint16Array.from(built.slots, (_, slot) => built.ownerOf(BigInt(slot) << 48n));
      expect(Buffer.compare(asBytes(owners), asBytes(built.slots))).toBe(0);
    });

    it('gives the shard of the first point at or after the hash, found among all points with an independent hash', async () => {
      const { h64Raw } = await createXxhash();
      const lowest = new Map<bigint, { hash: bigint; shard: number }>();
      for (const [shard, points] of built.points) {
        for (let point = 0; point < points; point++) {
          const hash = h64Raw(new Uint8Array(Uint32Array.of(shard, point).buffer));
          const other = lowest.get(hash >> 48n);
          if (!other || hash < other.hash) lowest.set(hash >> 48n, { hash, shard });
        }
      }
      const points = [...lowest.values()].sort((a, b) => (a.hash < b.hash ? -1 : 1));
      const random = createSeededRandom(3);
      const hashes = Array.from({ length: 300 }, () => (BigInt(random.uint32()) << 32n) | BigInt(random.uint32()));
      const edges = points.slice(0, 100).flatMap(({ hash }) => [hash - 1n, hash, hash + 1n]);
      for (const hash of [...hashes, ...edges, 0n, 2n ** 64n - 1n]) {
        const owner = points.find((point) => point.hash >= hash) ?? points[0]!;
        expect(built.ownerOf(hash), `hash ${hash}`).toBe(owner.shard);
      }
    });

    it('outlives the rings that are built after it', () => {
      const before = [0n, 1n << 63n, 2n ** 64n - 1n].map((hash) => built.ownerOf(hash));
      ring.build([{ shard: 9, weight: 1 }], VNODES, 18);
      expect([0n, 1n << 63n, 2n ** 64n - 1n].map((hash) => built.ownerOf(hash))).toEqual(before);
    });
  });

  describe.each([
    [16, 256],
    [16, 257],
    [16, 65_536],
    [18, 256],
    [18, 65_536],
  ] as const)('look-up in 2^%i slots of %i shards', (slotBits, shards) => {
    const table = Uint16Array.from({ length: 2 ** slotBits }, (_, slot) => (slot * 40_503) % shards);
    const random = createSeededRandom(slotBits);

    it.each([0, 1, 2, 1_001, LOOK_UP_HASHES])('finds the owners of %i hashes', (count) => {
      ring.setSlots(table);
      const hashes = BigUint64Array.from(
        { length: count },
        () => (BigInt(random.uint32()) << 32n) | BigInt(random.uint32()),
      );
      hashes.set([0n, 2n ** 64n - 1n].slice(0, count));
      ring.hashes.set(hashes);
      const expected = Uint16Array.from(hashes, (hash) => table[Number(hash >> BigInt(64 - slotBits))]!);
      expect(Buffer.compare(asBytes(ring.lookUp(count)), asBytes(expected))).toBe(0);
    });

    it('goes to the table as it was when it was set', () => {
      const mine = table.slice();
      ring.setSlots(mine);
      mine.fill(7);
      ring.hashes[0] = 0n;
      ring.hashes[1] = 2n ** 64n - 1n;
      expect([...ring.lookUp(2)]).toEqual([table[0], table[table.length - 1]]);
    });
  });

  it('refuses tables of other sizes and more hashes than fit', () => {
    expect(() => ring.setSlots(new Uint16Array(65_535))).toThrow(/a table of 65535 slots/);
    ring.setSlots(new Uint16Array(65_536));
    expect(() => ring.lookUp(LOOK_UP_HASHES + 1)).toThrow(RangeError);
    expect(() => ring.lookUp(-1)).toThrow(RangeError);
    expect(() => ring.lookUp(0.5)).toThrow(RangeError);
  });
});

describe('a ring of many shards', () => {
  // The plain twin would take minutes; the two are held to each other above.
  const { ring } = KERNEL_TWINS.find(({ name }) => name === 'wasm')!;

  it.each([
    [128, 16, 1.25],
    [256, 16, 1.75],
    [256, 18, 1.15],
    [512, 18, 1.4],
  ] as const)(
    'keeps %i shares on 2^%i slots within 5 percent, and moves at most %d/N when one is added',
    (count, slotBits, times) => {
      const before = ring.assign(shardsOf(count), VNODES, slotBits);
      const after = ring.assign(shardsOf(count + 1), VNODES, slotBits);
      const fair = 2 ** slotBits / (count + 1);
      for (const slots of slotsByShard(after).values()) expect(Math.abs(slots / fair - 1)).toBeLessThanOrEqual(0.05);
      expect((movedSlots(before, after) / before.length) * (count + 1)).toBeLessThanOrEqual(times);
    },
  );
});
