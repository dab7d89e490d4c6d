/** `npm run bench -- kernels`: the WASM kernels against their plain twins, and against a library where there is one. */
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { loadKernels } from '../../src/kernels/index.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';
import type { Row } from '../rows.ts';
import { hashComparisons } from './hash.bench.ts';
import { compare } from './interleave.ts';
import { ringComparisons } from './ring.bench.ts';
import { splitComparisons } from './split.bench.ts';

export async function run(
  options: Record<string, string | boolean | undefined>,
  say: (text: string) => void,
): Promise<readonly Row[]> {
  const rounds = Number(options.rounds ?? 15);
  const { hash, ring, split } = await loadKernels();
  const comparisons = [
    ...(await hashComparisons(hash, createReferenceHash())),
    ...ringComparisons(ring, createReferenceRing()),
    ...splitComparisons(split, createReferenceSplit(), ring),
  ];
  const rows: Row[] = [];
  for (const comparison of comparisons) {
    say(`${comparison.name}: ${comparison.case} …`);
    rows.push(...(await compare(comparison, rounds)));
  }
  return rows;
}
