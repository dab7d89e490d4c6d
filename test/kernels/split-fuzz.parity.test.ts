/**
 * Differential fuzzing of the split kernels: polls of broken and bent requests between good ones, with a key, limits and
 * groups picked at random. The kernels agree, byte for byte; they call malformed just what the independent decoder cannot
 * read, the documented exceptions aside; what they take comes out whole; and the WASM kernel writes nothing outside its
 * regions, in a memory that was full of noise.
 *
 * WEIR_FUZZ_INPUTS broken requests in all (30,000; `npm run fuzz`: 1,000,000). WEIR_FUZZ_SEED runs the same again.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KernelHost } from '../../src/kernels/host.ts';
import type { KeySelector, Routing } from '../../src/kernels/split/kernel.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';
import { createWasmSplit } from '../../src/kernels/split/wasm.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { createSeededRandom, type SeededRandom } from '../../src/loadgen/seeded-random.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { fillWithNoise, plantCanaries } from '../support/kernel-regions.ts';
import * as otlp from '../support/otlp-pieces.ts';
import { asMultiset, decodeItems, differenceOf, verdictOf } from '../support/otlp-schema.ts';
import { bendTree, wound } from '../support/otlp-tree.ts';
import { VECTORS } from '../support/otlp-vectors.ts';
import { type NamedSplit, ROOMY, routingWith, splitWithAll } from '../support/split-agreement.ts';

const { concat, double, fixed64, hex, item, len, resource, resourceX, scope, text, varint } = otlp;

const INPUTS = Number(process.env.WEIR_FUZZ_INPUTS ?? 30_000);
const FRESH_SEED = Number(process.env.WEIR_FUZZ_SEED ?? Date.now() % 2 ** 31);
console.info(
  `split kernels: fuzzing with seeds 1 and ${FRESH_SEED} (WEIR_FUZZ_SEED=${FRESH_SEED} runs the same again)`,
);

const SELECTORS: readonly KeySelector[] = [
  { kind: 'trace_id' },
  { kind: 'service.name' },
  { kind: 'resource' },
  { kind: 'metric.name' },
  { kind: 'resource-attribute', name: 'host.name' },
  { kind: 'item-attribute', name: 'k' },
];
const ROUTINGS: readonly Routing[] = SELECTORS.map((selector) => routingWith({ selector }));

/** What SDKs seldom send: values inside values, every kind of metric, fields that nobody knows, at each level. */
const value = (...content: Uint8Array[]) => len(2, ...content);
const nested = len(
  6,
  len(1, text(1, 'k'), value(len(5, len(1, text(1, 'deep')), len(1, varint(3, 7)), len(1, len(6))))),
);
const nestedAttribute = (field: number) => len(field, text(1, 'n'), value(nested));
const attributes = (field: number) =>
  concat(
    len(field, text(1, 'k'), value(varint(3, 300))),
    nestedAttribute(field),
    len(field, text(1, 'x'), value(double(4, 1))),
  );
const exemplar = (field: number) => len(field, fixed64(2, 1n), double(3, 1), len(7, text(1, 'k'), value(varint(2, 1))));
const RARE_ITEMS: Readonly<Record<Signal, Uint8Array>> = {
  traces: item(
    len(1, otlp.traceId(7)),
    attributes(9),
    len(11, fixed64(1, 5n), text(2, 'event'), attributes(3)),
    len(13, len(1, otlp.traceId(8)), attributes(4)),
    len(15, text(2, 'message'), varint(3, 2)),
    text(40, 'unknown'),
  ),
  metrics: concat(
    item(text(1, 'gauge'), len(5, len(1, exemplar(5), attributes(7))), attributes(12)),
    item(text(1, 'sum'), len(7, len(1, fixed64(6, 5n)), varint(2, 2))),
    item(
      text(1, 'histogram'),
      len(9, len(1, len(6, new Uint8Array(24)), len(7, new Uint8Array(16)), exemplar(8), attributes(9))),
    ),
    item(
      text(1, 'exponential'),
      len(
        10,
        len(1, attributes(1), len(8, varint(1, 2), len(2, hex('01 8002 ffffffffffffffffff01'))), len(9), exemplar(11)),
      ),
    ),
    item(text(1, 'summary'), len(11, len(1, len(6, double(1, 0.5), double(2, 3)), attributes(7)))),
  ),
  logs: item(varint(2, 17), len(5, nested), attributes(6), len(9, otlp.traceId(7))),
};
const rareRequest = (signal: Signal) =>
  concat(
    text(90, 'before'),
    resourceX(
      resource({ 'service.name': 'rare', 'host.name': 'h' }),
      scope(len(1, text(1, 'scope'), attributes(3)), RARE_ITEMS[signal], text(3, 'schema')),
      varint(80, 1),
    ),
    varint(91, 300),
  );

/** Small requests, as a mutation of them hits something that matters. */
function seedsOf(signal: Signal): Uint8Array[] {
  const shape = { itemsPerResource: 2, minAttributes: 1, maxAttributes: 3 };
  return [
    ...createCorpus({ seed: 40, signal, itemsPerRequest: 1, shape }).requests(6),
    ...createCorpus({ seed: 41, signal, itemsPerRequest: 5, shape }).requests(6),
    ...VECTORS.filter((vector) => vector.signal === signal && vector.request.length < 3_000).map(
      ({ request }) => request,
    ),
    ...new Array<Uint8Array>(4).fill(rareRequest(signal)),
  ];
}

const SEEDS: Readonly<Record<Signal, Uint8Array[]>> = {
  traces: seedsOf('traces'),
  metrics: seedsOf('metrics'),
  logs: seedsOf('logs'),
};
const SEEDS_OF_WOUNDS = SIGNALS.flatMap((signal) => SEEDS[signal]);

type Break = (signal: Signal, request: Uint8Array, random: SeededRandom) => Uint8Array;
const BREAKS: ReadonlyArray<readonly [string, Break]> = [
  ['bent trees', bendTree],
  ['wounded bytes', (_signal, request, random) => wound(request, random.pick(SEEDS_OF_WOUNDS), random)],
  ['bent, then wounded', (signal, request, random) => wound(bendTree(signal, request, random), request, random)],
];
const CASES = BREAKS.flatMap(([name, broken]) => SIGNALS.map((signal) => [signal, name, broken] as const));

const BROKEN_A_POLL = 8;
const POLLS = Math.ceil(INPUTS / CASES.length / BROKEN_A_POLL / 2);

const host = await KernelHost.load({ inputBytes: 1 << 20, outputBytes: 1 << 20 });
const noise = createSeededRandom(FRESH_SEED);
fillWithNoise(host, () => noise.integer(0, 255));
const canaries = plantCanaries(host);
const KERNELS: readonly NamedSplit[] = [
  { name: 'reference', split: createReferenceSplit() },
  { name: 'wasm', split: createWasmSplit(host, { poisonReleased: true }) },
];

describe('fuzzed polls', () => {
  it.each(CASES)('%s: %s', { timeout: 60_000 + INPUTS * 10 }, async (signal, _name, broken) => {
    const good = SEEDS[signal];
    const verdicts = { taken: 0, refused: 0, passedOver: 0 };
    let polls = 0;
    const once = async (caseSeed: number) => {
      const random = createSeededRandom(caseSeed);
      const bad = Array.from({ length: BROKEN_A_POLL }, () => broken(signal, random.pick(good), random));
      const values = random.chance(0.5) ? [random.pick(good), ...bad, random.pick(good)] : bad;
      const limits = {
        maxRecordBytes: random.pick([ROOMY.maxRecordBytes, ROOMY.maxRecordBytes, 3_000, 900, 300]),
        maxOutputBytes: random.pick([ROOMY.maxOutputBytes, ROOMY.maxOutputBytes, ROOMY.maxOutputBytes, 6_000]),
      };
      const groups = random.chance(0.5) ? Uint8Array.from(values, () => random.integer(0, 2)) : undefined;
      // Each key for a stretch of polls: to set a routing costs more than to split so small a poll.
      const routing = ROUTINGS[Math.floor((polls++ * ROUTINGS.length) / POLLS) % ROUTINGS.length]!;
      const answer = await splitWithAll(signal, { values, groups }, limits, routing, KERNELS);

      for (const [index, status] of answer.statuses.entries()) {
        const { decodes, passedOver } = verdictOf(signal, values[index]!);
        const isGood = decodes && !passedOver;
        if (isGood === (status !== 'malformed')) {
          if (isGood) verdicts.taken++;
          else verdicts.refused++;
          if (passedOver) verdicts.passedOver++;
        } else {
          const request = Buffer.from(values[index]!).toString('hex');
          throw new Error(`${status}, but the decoder ${decodes ? 'reads' : 'does not read'} the ${signal} ${request}`);
        }
      }
      await validateWithAll(signal, random.pick(bad));

      if (answer.outputs.some((output) => output.value.length > limits.maxRecordBytes))
        throw new Error('an output is too large');
      const taken = values.filter((_, index) => answer.statuses[index] === 'ok');
      // The outputs of a poll, one after the other, are a request, too.
      const joined = Buffer.concat(answer.outputs.map((output) => output.value));
      const difference = differenceOf(
        asMultiset(decodeItems(signal, joined)),
        asMultiset(taken.flatMap((request) => decodeItems(signal, request))),
      );
      if (difference) throw new Error(difference);
    };
    for (const seed of [1, FRESH_SEED]) {
      await fc.assert(fc.asyncProperty(fc.integer(), once), { seed, numRuns: POLLS, endOnFailure: true });
    }
    // The breaks are neither so mild nor so wild that one side of the rule goes untested.
    expect(verdicts.taken, JSON.stringify(verdicts)).toBeGreaterThan(20);
    expect(verdicts.refused, JSON.stringify(verdicts)).toBeGreaterThan(20);
    expect(canaries.broken()).toEqual([]);
  });
});

/** The fault that all kernels find. */
async function validateWithAll(signal: Signal, request: Uint8Array): Promise<void> {
  const faults = [];
  for (const { split } of KERNELS) faults.push(JSON.stringify(await split.validate(signal, request)));
  if (new Set(faults).size > 1)
    throw new Error(`${faults.join(' and ')} in the ${signal} ${Buffer.from(request).toString('hex')}`);
}
