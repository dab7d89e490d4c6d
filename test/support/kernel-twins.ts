/** All implementations of the kernels, for the suites that loop over them. */
import type { AggregateKernel } from '../../src/kernels/aggregate/kernel.ts';
import { createReferenceAggregate } from '../../src/kernels/aggregate/reference.ts';
import type { Crc32cKernel } from '../../src/kernels/crc32c/kernel.ts';
import { createReferenceCrc32c } from '../../src/kernels/crc32c/reference.ts';
import type { HashKernel } from '../../src/kernels/hash/kernel.ts';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { createWasmKernels } from '../../src/kernels/index.ts';
import type { RingKernel } from '../../src/kernels/ring/kernel.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import type { ScoreKernel } from '../../src/kernels/score/kernel.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';
import type { SplitKernel } from '../../src/kernels/split/kernel.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';

export interface KernelTwin {
  readonly name: string;
  readonly hash: HashKernel;
  readonly crc32c: Crc32cKernel;
  readonly ring: RingKernel;
  readonly score: ScoreKernel;
  readonly aggregate: AggregateKernel;
  readonly split: SplitKernel;
}

/** The reference first: it is what the others are held against. Released outputs are poisoned, so that late readers show. */
export const KERNEL_TWINS: readonly KernelTwin[] = [
  {
    name: 'reference',
    hash: createReferenceHash(),
    crc32c: createReferenceCrc32c(),
    ring: createReferenceRing(),
    score: createReferenceScore(),
    aggregate: createReferenceAggregate(),
    split: createReferenceSplit(),
  },
  { name: 'wasm', ...(await createWasmKernels({ poisonReleased: true })) },
];
