/** The kernels. Which twin runs is decided here and nowhere else. */
import type { AggregateKernel } from './aggregate/kernel.ts';
import { createReferenceAggregate } from './aggregate/reference.ts';
import { createWasmAggregate } from './aggregate/wasm.ts';
import type { Crc32cKernel } from './crc32c/kernel.ts';
import { createReferenceCrc32c } from './crc32c/reference.ts';
import { createWasmCrc32c } from './crc32c/wasm.ts';
import type { HashKernel } from './hash/kernel.ts';
import { createReferenceHash } from './hash/reference.ts';
import { createWasmHash } from './hash/wasm.ts';
import { type HostOptions, KernelHost } from './host.ts';
import type { RingKernel } from './ring/kernel.ts';
import { createReferenceRing } from './ring/reference.ts';
import { createWasmRing } from './ring/wasm.ts';
import type { ScoreKernel } from './score/kernel.ts';
import { createReferenceScore } from './score/reference.ts';
import { createWasmScore } from './score/wasm.ts';
import type { SplitKernel } from './split/kernel.ts';
import { createReferenceSplit } from './split/reference.ts';
import { createWasmSplit, type WasmSplitOptions } from './split/wasm.ts';

export interface Kernels {
  readonly split: SplitKernel;
  readonly hash: HashKernel;
  readonly crc32c: Crc32cKernel;
  readonly ring: RingKernel;
  readonly score: ScoreKernel;
  readonly aggregate: AggregateKernel;
}

/** The WASM kernels: one instance and one memory for all. */
export async function createWasmKernels(options: HostOptions & WasmSplitOptions = {}): Promise<Kernels> {
  const host = await KernelHost.load(options);
  return {
    split: createWasmSplit(host, options),
    hash: createWasmHash(host),
    crc32c: createWasmCrc32c(host),
    ring: createWasmRing(host),
    score: createWasmScore(host),
    aggregate: createWasmAggregate(host),
  };
}

/** The WASM kernels, or the plain JS ones where `WEIR_KERNEL` is `reference`. */
export async function loadKernels(
  options: HostOptions & WasmSplitOptions & { readonly kernel?: 'wasm' | 'reference' } = {},
): Promise<Kernels> {
  if ((options.kernel ?? kernelChosen()) === 'wasm') return createWasmKernels(options);
  return {
    split: createReferenceSplit(),
    hash: createReferenceHash(),
    crc32c: createReferenceCrc32c(),
    ring: createReferenceRing(),
    score: createReferenceScore(),
    aggregate: createReferenceAggregate(),
  };
}

/** Just the checksum, for those who do not split: an instance of its own, without regions for polls. */
export async function loadCrc32c(): Promise<Crc32cKernel> {
  if (kernelChosen() === 'reference') return createReferenceCrc32c();
  return createWasmCrc32c(await KernelHost.load({ inputBytes: 0, outputBytes: 0 }));
}

function kernelChosen(): 'wasm' | 'reference' {
  const kernel = process.env.WEIR_KERNEL ?? 'wasm';
  if (kernel !== 'wasm' && kernel !== 'reference')
    throw new RangeError(`WEIR_KERNEL is '${kernel}', but may be 'wasm' or 'reference'`);
  return kernel;
}
