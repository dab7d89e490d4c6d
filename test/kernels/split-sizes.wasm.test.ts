/** The sizes that the WASM split kernel is made for, and what they take of memory. */
import { describe, expect, it } from 'vitest';
import { createWasmKernels } from '../../src/kernels/index.ts';
import { RECORD_STATUS, type SplitKernel, type SplitResult } from '../../src/kernels/split/kernel.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { concat, hex, item, len, resource, resourceX, scope, text } from '../support/otlp-pieces.ts';
import { asMultiset, decodeItems, differenceOf } from '../support/otlp-schema.ts';
import { routingWith, splitWithAll } from '../support/split-agreement.ts';

const MB = 1_000_000;
const MiB = 1024 * 1024;

const slotsOf = (shardCount: number) => Uint16Array.from({ length: 65_536 }, (_, slot) => slot % shardCount);
const routingOver = (shardCount: number) => routingWith({ slots: slotsOf(shardCount), shardCount });

async function openSplit(shardCount: number): Promise<SplitKernel> {
  const { split } = await createWasmKernels();
  for (const signal of SIGNALS) split.setRouting(signal, routingOver(shardCount));
  return split;
}

/** That the outputs are requests again, with the same items: split once more they give the same sums. */
async function expectSplitAgain(signal: Signal, result: SplitResult): Promise<void> {
  const again = await (await openSplit(16)).split(
    signal,
    { values: result.outputs.map(({ value }) => Uint8Array.from(value)) },
    { maxRecordBytes: 512 * MiB, maxOutputBytes: 512 * MiB },
  );
  expect(again.statuses.every((status) => status === RECORD_STATUS.ok)).toBe(true);
  const { items, bytes } = result.aggregates;
  expect(again.aggregates).toMatchObject({ items, bytes });
  again.release();
}

describe('a poll', () => {
  it.each(SIGNALS)('of %s, cut in two at any record, gives the same items', async (signal) => {
    const values = createCorpus({ seed: 60, signal, itemsPerRequest: 7 }).requests(16);
    const expected = asMultiset(values.flatMap((value) => decodeItems(signal, value)));
    for (let cut = 0; cut <= values.length; cut++) {
      const parts = [values.slice(0, cut), values.slice(cut)];
      const outputs = [];
      for (const part of parts) outputs.push(...(await splitWithAll(signal, { values: part })).outputs);
      const items = outputs.flatMap(({ value }) => decodeItems(signal, value));
      expect(differenceOf(asMultiset(items), expected)).toBeNull();
    }
  });

  it('of 8 MB over 256 shards takes less than 96 MB of memory, reserved and touched', async () => {
    const corpus = createCorpus({ seed: 61, signal: 'traces', itemsPerRequest: 100 });
    const polls = [0, 1].map(() => corpus.requests((8 * MB) / 42_500));
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const split = await openSplit(256);
    for (let round = 0; round < 6; round++) {
      const result = await split.split(
        'traces',
        { values: polls[round % 2]! },
        { maxRecordBytes: 8 * MB, maxOutputBytes: 32 * MB },
      );
      expect(result.taken).toBe(polls[0]!.length);
      result.release();
    }
    expect(split.memoryBytes).toBeLessThan(96 * MB);
    expect(process.memoryUsage().rss - before).toBeLessThan(96 * MB);
  });

  it('of a resource of 4 MB whose spans go to 64 shards is refused: its output would be 64 times as large', async () => {
    const split = await openSplit(64);
    const before = split.memoryBytes;
    const wide = resource({ 'service.name': 'wide', blob: 'x'.repeat(4 * MB) });
    const spanOf = (n: number) =>
      item(
        len(
          1,
          Uint8Array.from({ length: 16 }, (_, i) => (n * 31 + i * 7 + 1) & 255),
        ),
      );
    const spans = Array.from({ length: 256 }, (_, n) => spanOf(n));
    const small = resourceX(scope(...spans));
    const values = [resourceX(wide, scope(...spans)), small];
    const limits = { maxRecordBytes: 8 * MB, maxOutputBytes: 4 * 4 * MB };
    const result = await split.split('traces', { values }, limits);
    expect(result.statuses).toEqual([RECORD_STATUS.output_too_large, RECORD_STATUS.ok]);
    expect(result.aggregates.shards.length).toBeGreaterThan(50);
    expect(result.aggregates.items).toBe(256);
    expect(split.memoryBytes).toBe(before);
    result.release();
    // Behind another record it ends the call: it may be the poll that is too large, not the record.
    const later = await split.split('traces', { values: [small, ...values] }, limits);
    expect(later.taken).toBe(1);
    later.release();
    const few = await split.split('traces', { values: [resourceX(wide, scope(spans[0]!, spans[1]!))] }, limits);
    expect(few.statuses).toEqual([RECORD_STATUS.ok]);
    few.release();
  });
});

describe('a request', () => {
  it('of 64 MiB comes out whole, with less than 256 MB of memory', async () => {
    const corpus = createCorpus({ seed: 62, signal: 'traces', itemsPerRequest: 1_000 });
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for (let piece = corpus.next(); bytes + piece.length <= 64 * MiB; piece = corpus.next()) {
      pieces.push(piece);
      bytes += piece.length;
    }
    // Requests one after the other are a request.
    const request = concat(...pieces, len(90, new Uint8Array(64 * MiB - bytes - 6)));
    expect(request.length).toBeGreaterThan(64 * MiB - 8);
    const split = await openSplit(16);
    const result = await split.split(
      'traces',
      { values: [request] },
      { maxRecordBytes: 128 * MiB, maxOutputBytes: 256 * MiB },
    );
    expect(result.statuses).toEqual([RECORD_STATUS.ok]);
    expect(result.aggregates.items).toBe(pieces.length * 1_000);
    expect(split.memoryBytes).toBeLessThan(256 * MB);
    await expectSplitAgain('traces', result);
    result.release();
    const small = createCorpus({ seed: 63, signal: 'traces', itemsPerRequest: 10 }).requests(5);
    const next = await split.split('traces', { values: small }, { maxRecordBytes: 8 * MB, maxOutputBytes: 32 * MB });
    const items = next.outputs.flatMap(({ value }) => decodeItems('traces', value));
    expect(
      differenceOf(asMultiset(items), asMultiset(small.flatMap((value) => decodeItems('traces', value)))),
    ).toBeNull();
    next.release();
  });

  it.each(SIGNALS)('of 65,535 %s comes out whole on both kernels', async (signal) => {
    const items = Array.from({ length: 65_535 }, (_, n) =>
      signal === 'metrics'
        ? item(text(1, `m${n}`))
        : item(
            len(
              signal === 'traces' ? 1 : 9,
              Uint8Array.from({ length: 16 }, (_, i) => ((n >> (i & 15)) & 255) | 1),
            ),
          ),
    );
    const request = resourceX(resource({ 'service.name': 'many' }), scope(Buffer.concat(items)));
    const answer = await splitWithAll(signal, { values: [request, hex('')] });
    expect(answer.statuses).toEqual(['ok', 'ok']);
    expect(answer.aggregates.items).toBe(65_535);
    const decoded = answer.outputs.flatMap(({ value }) => decodeItems(signal, value));
    expect(differenceOf(asMultiset(decoded), asMultiset(decodeItems(signal, request)))).toBeNull();
  });
});
