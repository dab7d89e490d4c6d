/** The kernels' memory under test: canaries between the regions, noise where nobody may rely on zeroes. */
import type { KernelHost } from '../../src/kernels/host.ts';

/** Regions that are written before they are read; the others must be zero from the start. */
const NOISY = [
  'RECORDS',
  'SAMPLES',
  'RESOURCES',
  'SCOPES',
  'RUNS',
  'REQUESTS',
  'ROWS',
  'TOUCHED',
  'INSTANCES',
  'INSTANCE_NAMES',
  'ACTIVE',
  'SERVED',
  'WATCHED',
  'KEY_SCRATCH',
  'KEY_SAMPLES',
  'KEY_NAMES',
] as const;

/** Fills the start of each region, the input and the outputs with noise: whoever reads what is not written gets garbage. */
export function fillWithNoise(host: KernelHost, next: () => number): void {
  const { exports } = host;
  const noise = Buffer.from(Uint8Array.from({ length: 1 << 16 }, next));
  const fill = (at: number, bytes: number) => noise.copy(host.u8, at, 0, Math.min(bytes, noise.length));
  const ends = Object.values(exports)
    .flatMap((value) => ('value' in value ? [Number(value.value)] : []))
    .sort((a, b) => a - b);
  for (const name of NOISY) {
    const at = exports[name].value as number;
    const end = ends.find((address) => address > at)!;
    fill(at, end - exports.GUARD.value - at);
  }
  fill(host.input.at, host.input.bytes);
  fill(host.output.at, host.output.bytes);
}

/** Fills the gaps that stand between the regions and the bytes behind the input. */
export function plantCanaries(host: KernelHost): { broken(): string[] } {
  const { exports } = host;
  const gaps: Array<{ before: string; at: number; end: number }> = [];
  const guard = exports.GUARD.value;
  const regions = [
    'SAMPLES',
    'RESOURCES',
    'SCOPES',
    'RUNS',
    'REQUESTS',
    'ROWS',
    'LISTS',
    'TOUCHED',
    'SHARD_AGGREGATES',
    'INSTANCES',
    'INSTANCE_NAMES',
    'INSTANCE_INDEX',
    'ACTIVE',
    'SERVED',
    'WATCHED',
    'SLOT_BYTES',
    'SLOT_BITS',
    'SLOT_TABLES',
    'OVERRIDE_TABLES',
    'SELECTOR_NAMES',
    'KEY_SCRATCH',
    'TABLES_END',
    'KEY_SAMPLES',
    'KEY_NAMES',
  ] as const;
  for (const name of regions) {
    const at = exports[name].value;
    gaps.push({ before: name, at: at - guard, end: at });
  }
  const inputEnd = host.input.at + host.input.bytes;
  gaps.push({ before: 'the output arena', at: inputEnd, end: host.output.at });
  for (const { at, end } of gaps) host.u8.fill(0xc3, at, end);
  return {
    broken: () =>
      gaps
        .filter(({ at, end }) => host.u8.subarray(at, end).some((byte) => byte !== 0xc3))
        .map(({ before }) => `before ${before}`),
  };
}
