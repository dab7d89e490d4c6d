/**
 * The consistent-hash ring: each shard stands on it at `vnodes x weight` points; a slot belongs to the first point at or
 * after it. Point i of shard s is XXH64, seed 0, over the 8 bytes (u32 LE s, u32 LE i). Slot t (of 2^slotBits) is at
 * t << (64 - slotBits). Equal points: the lower shard wins.
 */
export interface RingShard {
  readonly shard: number;
  /** 1 is a usual shard. */
  readonly weight: number;
}

export interface RingKernel {
  readonly name: 'wasm' | 'reference';
  /** Owner of each slot. A shard of weight w has max(1, round(vnodes * w)) points. */
  assign(shards: readonly RingShard[], vnodes: number, slotBits: 16 | 18): Uint16Array;
}
