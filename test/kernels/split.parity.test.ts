/** All split kernels give the same answer, byte for byte, to requests of others and of the corpus. */
import { describe, expect, it } from 'vitest';
import type { KeySelector, Routing } from '../../src/kernels/split/kernel.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';
import { asMultiset, decodeItems, differenceOf } from '../support/otlp-schema.ts';
import { VECTORS } from '../support/otlp-vectors.ts';
import { answerOf, ROOMY, routingWith, type SplitAnswer, splitWithAll } from '../support/split-agreement.ts';

const requestsOf = (signal: Signal) =>
  VECTORS.filter((vector) => vector.signal === signal).map(({ request }) => request);

const SELECTORS: readonly KeySelector[] = [
  { kind: 'trace_id' },
  { kind: 'service.name' },
  { kind: 'resource' },
  { kind: 'metric.name' },
  { kind: 'resource-attribute', name: 'host.name' },
  { kind: 'resource-attribute', name: 'process.pid' },
  { kind: 'item-attribute', name: 'http.request.method' },
];
const ROUTINGS: readonly Routing[] = SELECTORS.map((selector) => routingWith({ selector }));

const itemsIn = (signal: Signal, answer: SplitAnswer) =>
  asMultiset(answer.outputs.flatMap(({ value }) => decodeItems(signal, value)));

describe('requests of other implementations', () => {
  it('are there for every signal', () => {
    for (const signal of SIGNALS) expect(requestsOf(signal).length).toBeGreaterThan(3);
  });

  it.each(VECTORS)('$name: come out whole, whatever the key and the limit', async ({ signal, request }) => {
    const expected = asMultiset(decodeItems(signal, request));
    for (const routing of ROUTINGS) {
      for (const maxRecordBytes of [ROOMY.maxRecordBytes, 16_384, 4_096]) {
        const answer = await splitWithAll(signal, { values: [request] }, { ...ROOMY, maxRecordBytes }, routing);
        if (answer.statuses[0] === 'item_too_large') continue;
        expect(answer.statuses).toEqual(['ok']);
        expect(differenceOf(itemsIn(signal, answer), expected)).toBeNull();
      }
    }
  });

  it.each(SIGNALS)('%s: all in one poll, in several groups', async (signal) => {
    const values = requestsOf(signal);
    const answer = await splitWithAll(signal, { values, groups: Uint8Array.from(values, (_, index) => index % 3) });
    expect(
      differenceOf(itemsIn(signal, answer), asMultiset(values.flatMap((value) => decodeItems(signal, value)))),
    ).toBeNull();
  });
});

describe.each(SIGNALS)('corpus of %s', (signal) => {
  it.each([1, 10, 100, 512])('comes out whole at %i items a request', async (itemsPerRequest) => {
    const values = createCorpus({ seed: 31, signal, itemsPerRequest }).requests(Math.ceil(1_500 / itemsPerRequest));
    const expected = asMultiset(values.flatMap((value) => decodeItems(signal, value)));
    for (const routing of ROUTINGS) {
      const answer = await splitWithAll(signal, { values }, ROOMY, routing);
      expect(answer.taken).toBe(values.length);
      expect(differenceOf(itemsIn(signal, answer), expected)).toBeNull();
      expect(answer.aggregates.items).toBe(expected.length);
    }
  });

  it('comes out whole on 2^18 slots and 300 shards, with overrides', async () => {
    const values = createCorpus({ seed: 32, signal, itemsPerRequest: 50 }).requests(20);
    const slots = Uint16Array.from({ length: 2 ** 18 }, (_, slot) => (slot * 7) % 300);
    const [first] = (await splitWithAll(signal, { values })).outputs;
    const routing = routingWith({ slotBits: 18, slots, shardCount: 300, overrides: new Map([[0n, 299]]) });
    const answer = await splitWithAll(signal, { values }, ROOMY, routing);
    expect(first).toBeDefined();
    expect(
      differenceOf(itemsIn(signal, answer), asMultiset(values.flatMap((value) => decodeItems(signal, value)))),
    ).toBeNull();
  });

  it('is refused where it is cut, at every byte, and what stands around it comes out', async () => {
    const corpus = createCorpus({ seed: 33, signal, itemsPerRequest: 4, shape: { itemsPerResource: 2 } });
    const [before, request, after] = corpus.requests(3) as [Uint8Array, Uint8Array, Uint8Array];
    const whole = asMultiset([before, after].flatMap((value) => decodeItems(signal, value)));
    const firstResourceEnds = request.length - createTail(request).length;
    for (let cut = 0; cut <= request.length; cut++) {
      const answer = await splitWithAll(signal, { values: [before, request.subarray(0, cut), after] });
      const isWhole = cut === 0 || cut === firstResourceEnds || cut === request.length;
      expect(answer.statuses, `cut at byte ${cut}`).toEqual(['ok', isWhole ? 'ok' : 'malformed', 'ok']);
      if (!isWhole && cut % 16 === 0) expect(differenceOf(itemsIn(signal, answer), whole)).toBeNull();
    }
  });
});

/** What follows the first resource of a request of two. */
function createTail(request: Uint8Array): Uint8Array {
  let length = 0;
  let at = 1;
  for (let shift = 0; ; shift += 7) {
    const byte = request[at++]!;
    length += (byte & 127) << shift;
    if (byte < 128) break;
  }
  return request.subarray(at + length);
}

describe.each(KERNEL_TWINS)('the $name kernel', ({ split }) => {
  it('leaves held results as they are while further polls are split, until each is released', async () => {
    const corpus = createCorpus({ seed: 34, signal: 'traces', itemsPerRequest: 100 });
    split.setRouting('traces', routingWith({ slots: routingWith().slots.slice() }));
    const held = [];
    for (let poll = 0; poll < 3; poll++) {
      const result = await split.split('traces', { values: corpus.requests(3) }, ROOMY);
      held.push({ result, answer: answerOf(result) });
    }
    for (const { result, answer } of held) expect(answerOf(result).outputs).toEqual(answer.outputs);
    held[0]!.result.release();
    held[0]!.result.release();
    for (const { result, answer } of held.slice(1)) expect(answerOf(result).outputs).toEqual(answer.outputs);
    for (const { result } of held) result.release();
  });

  it('takes an empty poll', async () => {
    split.setRouting('traces', routingWith({ slots: routingWith().slots.slice() }));
    const result = await split.split('traces', { values: [] }, ROOMY);
    expect(answerOf(result)).toMatchObject({ taken: 0, statuses: [], outputs: [] });
    result.release();
  });

  it('counts the time that it takes', async () => {
    const before = split.busySeconds;
    split.setRouting('logs', routingWith({ slots: routingWith().slots.slice() }));
    const values = createCorpus({ seed: 35, signal: 'logs', itemsPerRequest: 200 }).requests(5);
    (await split.split('logs', { values }, ROOMY)).release();
    expect(split.busySeconds).toBeGreaterThan(before);
    expect(split.memoryBytes).toBeGreaterThan(0);
  });
});
