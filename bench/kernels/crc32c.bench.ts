/** Kafka's checksum, of bytes that lie in WASM memory and of others, which are copied in. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createWasmCrc32c } from '../../src/kernels/crc32c/wasm.ts';
import { KernelHost } from '../../src/kernels/host.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import type { Comparison } from './interleave.ts';
import { crc32c as tunedJs } from './tuned-js/crc32c.ts';

/** A batch with one small record, with one request of 100 spans, and a shard's record of a 4 MB poll over 16 shards. */
const BYTES = [200, 40_000, 250_000] as const;
/** Views that take turns, so that the first-level cache does not hold them all. */
const VIEWS = 16;
/** GB/s: what slicing by 16 in plain WASM reaches. */
const GOAL = { must: 2 };

export async function crc32cComparisons(): Promise<Comparison[]> {
  const kafkajs = createRequire(import.meta.url)('kafkajs/src/protocol/recordBatch/crc32C') as (
    bytes: Uint8Array,
  ) => number;
  const host = await KernelHost.load();
  const ours = createWasmCrc32c(host);
  const random = createSeededRandom(32);
  const noise = Uint8Array.from({ length: VIEWS * Math.max(...BYTES) }, () => random.integer(0, 255));
  const own = host.u8.subarray(host.input.at, host.input.at + noise.length);
  own.set(noise);

  for (const bytes of BYTES) {
    const view = noise.subarray(1, 1 + bytes);
    assert.equal(tunedJs(0, view), kafkajs(view), 'the tuned JS finds another checksum');
  }

  return BYTES.flatMap((bytes) =>
    [
      { where: 'in WASM memory', memory: own },
      { where: 'elsewhere, copied in', memory: noise },
    ].map(({ where, memory }) => {
      const turning = (checksum: (view: Uint8Array) => number) => {
        const views = Array.from({ length: VIEWS }, (_, i) => memory.subarray(i * bytes, (i + 1) * bytes));
        let turn = 0;
        return () => checksum(views[turn++ % VIEWS]!);
      };
      return {
        name: 'crc32c',
        case: `${bytes.toLocaleString('en')} bytes ${where}`,
        items: bytes / 1_000,
        unit: 'ns per kB',
        ours: { name: 'wasm', run: turning((view) => ours.update(0, view)) },
        peers: [
          { name: 'kafkajs', run: turning(kafkajs) },
          { name: 'tuned JS', run: turning((view) => tunedJs(0, view)) },
        ],
        throughput: { bytes, ...(bytes > 10_000 && { goal: GOAL }) },
        ...(bytes === 250_000 && memory === noise && { plot: 'CRC-32C' }),
      };
    }),
  );
}
