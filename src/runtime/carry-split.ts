/** Splits what an old shard got by where a change takes it. What stays goes to the old shard itself, so it need only be left out. */
import type { ShardOutput, SplitInput, SplitKernel, SplitLimits } from '../kernels/split/kernel.ts';
import type { Signal } from '../signals.ts';
import type { CarryRoutings } from './carry-spread.ts';

export interface CarrySplit {
  /** Records taken from the front. */
  readonly taken: number;
  /** Those that stay are among them. */
  readonly outputs: readonly ShardOutput[];
  readonly loads: readonly { readonly shard: number; readonly items: number; readonly bytes: number }[];
  /** Gives the outputs' memory back. */
  release(): void;
}

export async function splitCarried(
  kernel: SplitKernel,
  signal: Signal,
  input: SplitInput,
  limits: SplitLimits,
  { first, then }: CarryRoutings,
): Promise<CarrySplit> {
  const result = await kernel.split(signal, input, limits, first);
  const { taken, aggregates } = result;
  if (then.size === 0) return { ...result, loads: aggregates.shards };
  // Owned, and the memory given back: the second split may need all of it.
  const owned = result.outputs.map((output) => ({ ...output, value: Uint8Array.from(output.value) }));
  result.release();
  const outputs = owned.filter(({ shard }) => !then.has(shard));
  const loads = aggregates.shards.filter(({ shard }) => !then.has(shard));
  for (const [index, routing] of then) {
    const again = owned.filter(({ shard }) => shard === index);
    for (let at = 0; at < again.length; ) {
      const rest = again.slice(at);
      const values = rest.map(({ value }) => value);
      const groups = Uint8Array.from(rest, ({ group }) => group);
      const part = await kernel.split(signal, { values, groups }, limits, routing);
      outputs.push(...part.outputs.map((output) => ({ ...output, value: Uint8Array.from(output.value) })));
      loads.push(...part.aggregates.shards);
      part.release();
      at += part.taken;
    }
  }
  return { taken, outputs, loads, release() {} };
}
