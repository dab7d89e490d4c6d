/** The kernels. Which twin runs is decided here and nowhere else. */
import type { HashKernel } from './hash/kernel.ts';
import { createReferenceHash } from './hash/reference.ts';
import { createWasmHash } from './hash/wasm.ts';
import { type HostOptions, KernelHost } from './host.ts';
import type { RingKernel } from './ring/kernel.ts';
import { createReferenceRing } from './ring/reference.ts';
import { createWasmRing } from './ring/wasm.ts';
import type { SplitKernel } from './split/kernel.ts';
import { createReferenceSplit } from './split/reference.ts';
import { createWasmSplit, type WasmSplitOptions } from './split/wasm.ts';

export interface Kernels {
  readonly split: SplitKernel;
  readonly hash: HashKernel;
  readonly ring: RingKernel;
}

/** The WASM kernels: one instance and one memory for the three. */
export async function createWasmKernels(options: HostOptions & WasmSplitOptions = {}): Promise<Kernels> {
  const host = await KernelHost.load(options);
  return { split: createWasmSplit(host, options), hash: createWasmHash(host), ring: createWasmRing(host) };
}

/** The WASM kernels, or the plain JS ones where `WEIR_KERNEL` is `reference`. */
export async function loadKernels(
  options: HostOptions & WasmSplitOptions & { readonly kernel?: 'wasm' | 'reference' } = {},
): Promise<Kernels> {
  const kernel = options.kernel ?? process.env.WEIR_KERNEL ?? 'wasm';
  if (kernel === 'wasm') return createWasmKernels(options);
  if (kernel !== 'reference') throw new RangeError(`WEIR_KERNEL is '${kernel}', but may be 'wasm' or 'reference'`);
  return { split: createReferenceSplit(), hash: createReferenceHash(), ring: createReferenceRing() };
}
