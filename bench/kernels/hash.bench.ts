import xxhash from 'xxhash-wasm';
import type { HashKernel } from '../../src/kernels/hash/kernel.ts';
import type { Comparison } from './interleave.ts';

const KEYS = 1_000;

export async function hashComparisons(ours: HashKernel, reference: HashKernel): Promise<Comparison[]> {
  const { h64Raw } = await xxhash();
  const keys = Array.from({ length: KEYS }, (_, i) => {
    const key = new Uint8Array(16);
    new DataView(key.buffer).setBigUint64(0, (BigInt(i) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn);
    return key;
  });
  const each = (hash: (key: Uint8Array) => bigint) => () => {
    for (const key of keys) hash(key);
  };
  return [
    {
      name: 'hash',
      case: 'XXH64 of 16-byte keys, one by one',
      items: KEYS,
      unit: 'ns per key',
      ours: { name: 'wasm', run: each((key) => ours.xxh64(key)) },
      peers: [
        { name: 'reference twin', run: each((key) => reference.xxh64(key)) },
        { name: 'xxhash-wasm', run: each((key) => h64Raw(key)) },
      ],
    },
  ];
}
