/**
 * The split kernel against what people would use instead. Polls are laid out as a fetch response has them: values in one buffer,
 * a few bytes between them. Where the case says "copied out", the outputs are copied to a JS buffer, which the pipeline
 * need not do: it hands the kernel's views to the socket.
 */
import { loadKernels } from '../../src/kernels/index.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import type { Routing, SplitKernel } from '../../src/kernels/split/kernel.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import type { Comparison, Implementation, Peer } from './interleave.ts';
import { decodingSplit, opaqueSplit, type PeerSplit } from './peers/protobufjs-split.ts';
import { assertSameItems } from './peers/same-items.ts';
import { tunedSplit } from './tuned-js/split.ts';

const SHARDS = 16;
/** `poll.maxBytes` and `poll.maxRecords` by default. */
const POLL_BYTES = 4_000_000;
const POLL_RECORDS = 512;
/** Cycled, so that the processor's caches do not flatter the figures. */
const LEAST_REQUESTS = 200;
const LEAST_POLLS = 4;
/** What Kafka puts between two values: offsets, lengths, header count. */
const RECORD_FRAME_BYTES = 12;
const MOST_OVERRIDES = 1_024;
const LIMITS = { maxRecordBytes: 8_000_000, maxOutputBytes: 128_000_000 };

/** Values of some polls. They take turns. */
interface Polls {
  readonly signal: Signal;
  readonly polls: readonly (readonly Buffer[])[];
  /** Of one poll. */
  readonly items: number;
  readonly bytes: number;
}

export async function* splitComparisons(): AsyncGenerator<Comparison> {
  const ours = await wasmSplit(SHARDS);
  const reference = routed(createReferenceSplit(), SHARDS);
  const sharding = { slots: slotsOf(SHARDS), shardCount: SHARDS };
  const twin = (polls: Polls): Peer => ({ name: 'reference twin', run: splitting(reference, polls) });
  const tuned = tunedSplit(sharding);
  const tunedJs = (polls: Polls): Peer => ({ name: 'tuned JS', run: regrouping(tuned, polls) });
  for (const signal of SIGNALS) await assertSplits(ours, pollsOf(signal, 10, { records: 20 }));

  const at100 = pollsOf('traces', 100);
  const views = { name: 'wasm', run: splitting(ours, at100) };
  yield {
    name: 'split',
    case: 'traces, 100 spans a request, copied out',
    plot: 'Split by trace id, 100 spans a request',
    items: at100.items,
    unit: 'ns per span',
    ours: { name: 'wasm', run: splitting(ours, at100, { copyOut: true }) },
    peers: [
      { ...tunedJs(at100), goal: { must: 1.35, aim: 1.8 } },
      { name: 'protobufjs, spans opaque', run: regrouping(opaqueSplit(sharding), at100), goal: { must: 5, aim: 8 } },
      { name: 'protobufjs', run: regrouping(decodingSplit('traces', sharding), at100), goal: { must: 50, aim: 80 } },
      twin(at100),
    ],
    throughput: { bytes: at100.bytes, goal: { must: 3, aim: 5 } },
  };
  yield {
    name: 'split',
    case: 'the same, views handed on (as the pipeline does)',
    items: at100.items,
    unit: 'ns per span',
    ours: views,
    peers: [tunedJs(at100)],
    throughput: { bytes: at100.bytes },
  };

  const at1 = pollsOf('traces', 1);
  yield {
    name: 'split',
    case: `traces, 1 span a request, ${POLL_RECORDS} records a poll`,
    items: at1.items,
    unit: 'ns per span',
    ours: { name: 'wasm', run: splitting(ours, at1) },
    peers: [
      // At most 2.5 times the cost, better 1.8 times.
      { name: 'wasm, 100 a request', run: views.run, items: at100.items, goal: { must: 1 / 2.5, aim: 1 / 1.8 } },
      tunedJs(at1),
    ],
  };
  for (const spans of [10, 512]) {
    const polls = pollsOf('traces', spans);
    yield {
      name: 'split',
      case: `traces, ${spans} spans a request`,
      items: polls.items,
      unit: 'ns per span',
      ours: { name: 'wasm', run: splitting(ours, polls) },
      peers: [tunedJs(polls)],
    };
  }
  for (const signal of ['metrics', 'logs'] as const) {
    const polls = pollsOf(signal, 100);
    yield {
      name: 'split',
      case: `${signal}, 100 a request, copied out`,
      plot: `Split ${signal} by ${signal === 'metrics' ? 'resource' : 'trace id'}, 100 a request`,
      items: polls.items,
      unit: signal === 'metrics' ? 'ns per metric' : 'ns per log record',
      ours: { name: 'wasm', run: splitting(ours, polls, { copyOut: true }) },
      peers: [
        { name: 'protobufjs', run: regrouping(decodingSplit(signal, sharding), polls), goal: { must: 30, aim: 60 } },
        twin(polls),
      ],
      throughput: { bytes: polls.bytes },
    };
  }

  const random = createSeededRandom(11);
  const hash = () => (BigInt(random.uint32()) << 32n) | BigInt(random.uint32());
  const overrides = new Map(Array.from({ length: MOST_OVERRIDES }, (_, i) => [hash(), i % SHARDS]));
  yield {
    name: 'split',
    case: `traces, 100 spans a request, ${MOST_OVERRIDES.toLocaleString('en')} overrides`,
    items: at100.items,
    unit: 'ns per span',
    ours: { name: 'wasm', run: splitting(await wasmSplit(SHARDS, overrides), at100) },
    peers: [{ name: 'wasm, no override', run: views.run }],
  };
  yield {
    name: 'split',
    case: 'traces, 100 spans a request, 256 shards',
    items: at100.items,
    unit: 'ns per span',
    ours: { name: 'wasm', run: splitting(await wasmSplit(256), at100) },
    peers: [{ name: `wasm, ${SHARDS} shards`, run: views.run }],
  };
  // Where crossing over to WASM may cost more than it saves: one small request a poll.
  for (const spans of [1, 10]) {
    const polls = pollsOf('traces', spans, { records: 1 });
    yield {
      name: 'split',
      case: `traces, a poll of one request of ${spans === 1 ? 'one span' : `${spans} spans`}`,
      items: polls.items,
      unit: 'ns per span',
      ours: { name: 'wasm', run: splitting(ours, polls) },
      peers: [tunedJs(polls)],
    };
  }
  const large = pollsOf('traces', 100, { bytes: 16_000_000 });
  yield {
    name: 'split',
    case: 'traces, 100 spans a request, polls of 16 MB',
    items: large.items,
    unit: 'ns per span',
    ours: { name: 'wasm', run: splitting(ours, large) },
    peers: [tunedJs(large)],
  };
}

async function wasmSplit(shardCount: number, overrides?: Routing['overrides']): Promise<SplitKernel> {
  const { split } = await loadKernels({ kernel: 'wasm' });
  return routed(split, shardCount, overrides);
}

function routed(kernel: SplitKernel, shardCount: number, overrides: Routing['overrides'] = new Map()): SplitKernel {
  const routing = { slotBits: 16, slots: slotsOf(shardCount), shardCount, overrides } as const;
  for (const signal of SIGNALS) {
    kernel.setRouting(signal, { selector: { kind: signal === 'metrics' ? 'resource' : 'trace_id' }, ...routing });
  }
  return kernel;
}

const slotsOf = (shardCount: number) =>
  createReferenceRing().assign(
    Array.from({ length: shardCount }, (_, shard) => ({ shard, weight: 1 })),
    160,
    16,
  );

function pollsOf(signal: Signal, itemsPerRequest: number, most: { bytes?: number; records?: number } = {}): Polls {
  const corpus = createCorpus({ seed: 7, signal, itemsPerRequest });
  const { bytes = POLL_BYTES, records = POLL_RECORDS } = most;
  const perPoll = Math.min(records, Math.ceil(bytes / corpus.next().length));
  const count = Math.max(LEAST_POLLS, Math.ceil(LEAST_REQUESTS / perPoll));
  const polls = Array.from({ length: count }, () => asFetched(corpus.requests(perPoll)));
  const sizes = polls.map((poll) => poll.reduce((sum, { length }) => sum + length, 0));
  return {
    signal,
    polls,
    items: perPoll * itemsPerRequest,
    bytes: sizes.reduce((sum, size) => sum + size, 0) / count,
  };
}

function asFetched(requests: readonly Uint8Array[]): Buffer[] {
  const frame = Buffer.alloc(RECORD_FRAME_BYTES);
  const response = Buffer.concat(requests.flatMap((request) => [frame, request]));
  let at = 0;
  return requests.map(({ length }) => {
    const from = at + RECORD_FRAME_BYTES;
    at = from + length;
    return response.subarray(from, at);
  });
}

function splitting(kernel: SplitKernel, { signal, polls }: Polls, { copyOut = false } = {}): Implementation['run'] {
  const outside = Buffer.alloc(copyOut ? 3 * POLL_BYTES : 0);
  let turn = 0;
  return async () => {
    const result = await kernel.split(signal, { values: polls[turn++ % polls.length]! }, LIMITS);
    if (copyOut) {
      let at = 0;
      for (const { value } of result.outputs) {
        outside.set(value, at);
        at += value.length;
      }
    }
    result.release();
  };
}

/** Throws where an item is lost, doubled or changed. */
async function assertSplits(kernel: SplitKernel, { signal, polls }: Polls): Promise<void> {
  const values = polls[0]!;
  const { outputs, release } = await kernel.split(signal, { values }, LIMITS);
  assertSameItems(
    kernel.name,
    signal,
    values,
    outputs.map(({ value }) => value),
  );
  release();
}

/** Throws likewise. */
function regrouping(split: PeerSplit, { signal, polls }: Polls): Implementation['run'] {
  const few = polls[0]!.slice(0, 20);
  assertSameItems('a peer', signal, few, split(few));
  let turn = 0;
  return () => split(polls[turn++ % polls.length]!);
}
