import type { RingKernel } from '../../src/kernels/ring/kernel.ts';
import type { SplitKernel } from '../../src/kernels/split/kernel.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import type { Comparison } from './interleave.ts';

const SHARDS = 16;
const POLL_BYTES = 2_000_000;
/** Polls that take turns, so that the caches do not hold them all. */
const POLLS = 8;
const LIMITS = { maxRecordBytes: 8_000_000, maxOutputBytes: 32_000_000 };

export function splitComparisons(ours: SplitKernel, reference: SplitKernel, ring: RingKernel): Comparison[] {
  const slots = ring.assign(
    Array.from({ length: SHARDS }, (_, shard) => ({ shard, weight: 1 })),
    160,
    16,
  );
  const routing = {
    selector: { kind: 'trace_id' },
    slotBits: 16,
    slots,
    shardCount: SHARDS,
    overrides: new Map(),
  } as const;
  for (const kernel of [ours, reference]) kernel.setRouting('traces', routing);

  return [1, 10, 100, 512].map((itemsPerRequest) => {
    const corpus = createCorpus({ seed: 7, signal: 'traces', itemsPerRequest });
    const recordsPerPoll = Math.min(512, Math.ceil(POLL_BYTES / corpus.next().length));
    const polls = Array.from({ length: POLLS }, () => corpus.requests(recordsPerPoll));
    const splitter = (kernel: SplitKernel) => {
      let turn = 0;
      return async () => {
        const result = await kernel.split('traces', { values: polls[turn++ % POLLS]! }, LIMITS);
        result.release();
      };
    };
    return {
      name: 'split',
      case: `traces by trace id, ${itemsPerRequest} spans a request, ${SHARDS} shards`,
      items: recordsPerPoll * itemsPerRequest,
      unit: 'ns per span',
      ours: { name: 'wasm', run: splitter(ours) },
      peers: [{ name: 'reference twin', run: splitter(reference) }],
    };
  });
}
