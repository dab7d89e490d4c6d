import { xxh64 } from '../hash/reference.ts';
import { checkLookUp, LOOK_UP_HASHES, type RingKernel, type SlotBits, slotBitsOf } from './kernel.ts';
import { fitPoints } from './shares.ts';

/** The lowest point between two slots. */
interface Lowest {
  readonly hash: bigint;
  readonly shard: number;
}

export function createReferenceRing(): RingKernel {
  const sequences = new Map<number, bigint[]>();
  const hashes = new BigUint64Array(LOOK_UP_HASHES);
  let table = new Uint16Array();
  let tableBits: SlotBits | null = null;

  const build: RingKernel['build'] = (shards, vnodes, slotBits) => {
    const shift = BigInt(64 - slotBits);
    let lowest: Array<Lowest | undefined> = [];
    const { points, owners } = fitPoints(shards, vnodes, (counts) => {
      lowest = new Array(2 ** slotBits);
      for (const [i, { shard }] of shards.entries()) {
        for (const hash of sequence(sequences, shard, counts[i]!)) {
          const stretch = Number(hash >> shift);
          const other = lowest[stretch];
          if (!other || hash < other.hash || (hash === other.hash && shard < other.shard)) {
            lowest[stretch] = { hash, shard };
          }
        }
      }
      return ownersOf(lowest);
    });
    return {
      slotBits,
      slots: owners,
      points: new Map(shards.map(({ shard }, i) => [shard, points[i]!])),
      ownerOf(hash) {
        const stretch = Number(hash >> shift);
        const point = lowest[stretch];
        if (point && hash <= point.hash) return point.shard;
        return owners[(stretch + 1) % owners.length]!;
      },
    };
  };

  return {
    name: 'reference',
    build,
    assign: (shards, vnodes, slotBits) => build(shards, vnodes, slotBits).slots,
    setSlots(slots) {
      tableBits = slotBitsOf(slots);
      table = slots.slice();
    },
    hashes,
    lookUp(count) {
      const shift = BigInt(64 - checkLookUp(count, tableBits));
      return Uint16Array.from(hashes.subarray(0, count), (hash) => table[Number(hash >> shift)]!);
    },
  };
}

/** The owner of each slot: the shard of the first point in its own stretch or one after it. */
function ownersOf(lowest: ReadonlyArray<Lowest | undefined>): Uint16Array {
  const owners = new Uint16Array(lowest.length);
  let next = lowest.find((point) => point !== undefined)!; // Past the last point the ring begins anew.
  for (let slot = owners.length - 1; slot >= 0; slot--) {
    next = lowest[slot] ?? next;
    owners[slot] = next.shard;
  }
  return owners;
}

/** The first `count` points of a shard. They are hashed once, as a ring is placed several times until it fits. */
function sequence(sequences: Map<number, bigint[]>, shard: number, count: number): bigint[] {
  const known = sequences.get(shard) ?? [];
  sequences.set(shard, known);
  const key = new Uint8Array(8);
  const view = new DataView(key.buffer);
  view.setUint32(0, shard, true);
  for (let point = known.length; point < count; point++) {
    view.setUint32(4, point, true);
    known.push(xxh64(key));
  }
  return known.slice(0, count);
}
