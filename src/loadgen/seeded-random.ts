/**
 * Random numbers that are the same for the same seed on every machine: sfc32 (Chris Doty-Humphrey's PractRand), 128
 * bits of state. Not for secrets.
 */
export interface SeededRandom {
  /** 32 random bits, 0 to 2^32 - 1. */
  uint32(): number;
  /** 0 <= number < 1. */
  unit(): number;
  /** An integer from `low` to `high`, both included. */
  integer(low: number, high: number): number;
  /** True in `share` (0 to 1) of the calls. */
  chance(share: number): boolean;
  pick<T>(choices: readonly T[]): T;
}

export function createSeededRandom(seed: number): SeededRandom {
  let a = mix32(seed);
  let b = mix32(seed ^ 0x9e3779b9);
  let c = mix32(seed ^ 0x85ebca6b);
  let counter = 1;
  const uint32 = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 12; i++) uint32(); // Until neighbouring seeds have drifted apart.
  const unit = () => uint32() / 0x1_0000_0000;
  const integer = (low: number, high: number) => low + Math.floor(unit() * (high - low + 1));
  return {
    uint32,
    unit,
    integer,
    chance: (share) => unit() < share,
    pick: (choices) => choices[integer(0, choices.length - 1)]!,
  };
}

/** A bijection of 32-bit numbers that spreads neighbours (the finaliser of MurmurHash3). */
export function mix32(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
