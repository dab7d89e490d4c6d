/** All implementations of the kernels, for the suites that loop over them. */
import type { HashKernel } from '../../src/kernels/hash/kernel.ts';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { createWasmKernels } from '../../src/kernels/index.ts';
import type { RingKernel } from '../../src/kernels/ring/kernel.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import type { SplitKernel } from '../../src/kernels/split/kernel.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';

export interface KernelTwin {
  readonly name: string;
  readonly hash: HashKernel;
  readonly ring: RingKernel;
  readonly split: SplitKernel;
}

/** The reference first: it is what the others are held against. Released outputs are poisoned, so that late readers show. */
export const KERNEL_TWINS: readonly KernelTwin[] = [
  {
    name: 'reference',
    hash: createReferenceHash(),
    ring: createReferenceRing(),
    split: createReferenceSplit(),
  },
  { name: 'wasm', ...(await createWasmKernels({ poisonReleased: true })) },
];
