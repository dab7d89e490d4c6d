/** What only the WASM kernel has: leases, waiting, growth, and regions that nothing may be written outside of. */
import { describe, expect, it } from 'vitest';
import { KernelHost } from '../../src/kernels/host.ts';
import { createWasmKernels } from '../../src/kernels/index.ts';
import { CALL_BOUNDS, RECORD_STATUS, type SplitLimits, type SplitResult } from '../../src/kernels/split/kernel.ts';
import { createWasmSplit } from '../../src/kernels/split/wasm.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { plantCanaries } from '../support/kernel-regions.ts';
import {
  concat,
  fixed32,
  fixed64,
  hex,
  len,
  resource,
  resourceX,
  scope,
  span,
  text,
  varint,
} from '../support/otlp-pieces.ts';
import { asMultiset, decodeItems, differenceOf } from '../support/otlp-schema.ts';
import { wound } from '../support/otlp-tree.ts';
import { answerOf, routingWith } from '../support/split-agreement.ts';

const MiB = 1024 * 1024;
const LIMITS: SplitLimits = { maxRecordBytes: 8 * MiB, maxOutputBytes: 256 * MiB };

async function openSplit(options: { inputBytes?: number; outputBytes?: number; poisonReleased?: boolean } = {}) {
  const host = await KernelHost.load(options);
  const split = createWasmSplit(host, options);
  for (const signal of SIGNALS) split.setRouting(signal, routingWith());
  return { host, split };
}

const requestsOf = (signal: Signal, count: number, itemsPerRequest = 50, seed = 1) =>
  createCorpus({ signal, itemsPerRequest, seed }).requests(count);

const whole = (signal: Signal, results: readonly SplitResult[]) =>
  asMultiset(results.flatMap(({ outputs }) => outputs.flatMap(({ value }) => decodeItems(signal, value))));

/** Whether a promise has settled once everything that was ready to run has run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const note = () => {
    done = true;
  };
  promise.then(note, note);
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}

/** Spans of 64 KiB, each of a trace of its own, under one resource. */
function largeRequest(spans: number): Uint8Array {
  const random = createSeededRandom(7);
  const filler = len(60, new Uint8Array(64 * 1024).fill(0x61));
  const items = Array.from({ length: spans }, (_, n) => {
    const trace = Uint8Array.from({ length: 16 }, () => random.integer(1, 255));
    return len(2, len(1, trace), len(2, Uint8Array.of(n >> 8, n, 1, 1, 1, 1, 1, 1)), filler);
  });
  return resourceX(resource({ 'service.name': 'archive' }), scope(...items));
}

const spanIds = (results: readonly SplitResult[]) =>
  results
    .flatMap(({ outputs }) => outputs.flatMap(({ value }) => decodeItems('traces', value)))
    .map(({ spanId }) => spanId)
    .sort();

describe('leases of outputs', () => {
  it('hold while other polls of other signals are split, and each result is whole', async () => {
    const { split } = await openSplit();
    const held: Array<{
      signal: Signal;
      values: Uint8Array[];
      result: SplitResult;
      copy: ReturnType<typeof answerOf>;
    }> = [];
    for (let poll = 0; poll < 12; poll++) {
      const signal = SIGNALS[poll % 3]!;
      const values = requestsOf(signal, 5 + poll, 40, poll + 1);
      const result = await split.split(signal, { values }, LIMITS);
      held.push({ signal, values, result, copy: answerOf(result) });
    }
    // Out of order, so that gaps of the arena are used again.
    for (const index of [3, 4, 9, 0, 11]) held[index]!.result.release();
    const rest = held.filter((_, index) => ![3, 4, 9, 0, 11].includes(index));
    for (let poll = 0; poll < 5; poll++) {
      (await split.split('traces', { values: requestsOf('traces', 20, 50, poll + 50) }, LIMITS)).release();
    }
    for (const { signal, values, result, copy } of rest) {
      expect(answerOf(result)).toEqual(copy);
      const expected = asMultiset(values.flatMap((value) => decodeItems(signal, value)));
      expect(differenceOf(whole(signal, [result]), expected)).toBeNull();
      result.release();
    }
  });

  it('has room as long as results take less than half of their memory', async () => {
    const { split } = await openSplit({ outputBytes: 2 * MiB });
    const held: SplitResult[] = [];
    const rooms: boolean[] = [];
    for (
      let bytes = 0;
      bytes < 1.5 * MiB;
      bytes += held.at(-1)!.outputs.reduce((sum, { value }) => sum + value.length, 0)
    ) {
      held.push(await split.split('traces', { values: requestsOf('traces', 10) }, LIMITS));
      rooms.push(split.hasRoom);
    }
    expect([rooms[0], rooms.at(-1)]).toEqual([true, false]);
    for (const result of held) result.release();
    expect(split.hasRoom).toBe(true);
  });

  it('make the next calls wait when the arena is full, in order of call, and go on with each release', async () => {
    const { split } = await openSplit({ outputBytes: MiB });
    const values = requestsOf('traces', 30);
    const small = requestsOf('traces', 1, 2);
    const bytes = values.reduce((sum, value) => sum + value.length, 0);
    expect(bytes).toBeGreaterThan(MiB / 2);
    const first = await split.split('traces', { values }, LIMITS);
    const order: string[] = [];
    const second = split.split('traces', { values }, LIMITS).then((result) => {
      order.push('second');
      return result;
    });
    // Small enough for what is left of the arena, but not its turn.
    const third = split.split('traces', { values: small }, LIMITS).then((result) => {
      order.push('third');
      return result;
    });
    expect(await settled(third)).toBe(false);
    expect(order).toEqual([]);
    const before = answerOf(first);
    first.release();
    const results = await Promise.all([second, third]);
    expect(order).toEqual(['second', 'third']);
    expect(answerOf(results[0])).toEqual(before);
    for (const result of results) result.release();
  });

  it('end with the first release: a second one does not free what another call got', async () => {
    const { split } = await openSplit({ poisonReleased: true });
    const values = requestsOf('logs', 10);
    const first = await split.split('logs', { values }, LIMITS);
    const views = first.outputs.map(({ value }) => value);
    first.release();
    expect(views.every((view) => view.every((byte) => byte === 0xdb))).toBe(true);
    const second = await split.split('logs', { values }, LIMITS);
    const copy = answerOf(second);
    first.release();
    const third = await split.split('logs', { values: requestsOf('logs', 10, 50, 9) }, LIMITS);
    expect(answerOf(second)).toEqual(copy);
    second.release();
    third.release();
  });

  it('cost no memory once released: a thousand polls leave it as large as one', async () => {
    const { split } = await openSplit();
    const values = requestsOf('traces', 20);
    (await split.split('traces', { values }, LIMITS)).release();
    const before = split.memoryBytes;
    for (let poll = 0; poll < 1_000; poll++) (await split.split('traces', { values }, LIMITS)).release();
    expect(split.memoryBytes).toBe(before);
  });

  it('are not needed where nothing comes out', async () => {
    const { split } = await openSplit({ outputBytes: MiB });
    const full = await split.split('traces', { values: requestsOf('traces', 40) }, LIMITS);
    const empty = await split.split('traces', { values: [null, new Uint8Array(0), hex('ff')] }, LIMITS);
    expect(empty.statuses).toEqual([RECORD_STATUS.null_value, RECORD_STATUS.ok, RECORD_STATUS.malformed]);
    expect(empty.outputs).toEqual([]);
    full.release();
    empty.release();
  });
});

describe('growth', () => {
  it('takes a request of 64 MiB whole, and the memory stays at what that needs', async () => {
    const { split } = await openSplit();
    const request = largeRequest(1_024);
    expect(request.length).toBeGreaterThan(64 * MiB);
    const expected = spanIds([{ outputs: [{ shard: 0, group: 0, value: request }] } as unknown as SplitResult]);
    expect(new Set(expected).size).toBe(1_024);
    const limits = { ...LIMITS, maxRecordBytes: 2 * MiB };
    const result = await split.split('traces', { values: [request] }, limits);
    expect(result.statuses).toEqual([RECORD_STATUS.ok]);
    expect(result.outputs.length).toBeGreaterThan(32);
    expect(result.outputs.every(({ value }) => value.length <= limits.maxRecordBytes)).toBe(true);
    expect(spanIds([result])).toEqual(expected);
    expect(result.aggregates.items).toBe(1_024);
    result.release();
    const grown = split.memoryBytes;
    expect(grown).toBeLessThan(256 * MiB);
    (await split.split('traces', { values: [request] }, LIMITS)).release();
    expect(split.memoryBytes).toBe(grown);
  });

  it('waits until no result is held, as it would take their bytes away', async () => {
    const { split } = await openSplit({ inputBytes: MiB, outputBytes: 4 * MiB });
    const held = await split.split('traces', { values: requestsOf('traces', 5) }, LIMITS);
    const copy = answerOf(held);
    const before = split.memoryBytes;
    const input = split.split('traces', { values: [largeRequest(48)] }, LIMITS);
    expect(await settled(input)).toBe(false);
    expect(answerOf(held)).toEqual(copy);
    held.release();
    const large = await input;
    expect(large.aggregates.items).toBe(48);
    expect(split.memoryBytes).toBeGreaterThan(before);
    large.release();
  });

  it('of the output arena alone keeps what was scanned: each record comes out in as many shards as it has traces', async () => {
    const { split } = await openSplit({ inputBytes: 16 * MiB, outputBytes: MiB });
    const values = requestsOf('traces', 200);
    const held = await split.split('traces', { values: values.slice(0, 3) }, LIMITS);
    const pending = split.split('traces', { values }, LIMITS);
    expect(await settled(pending)).toBe(false);
    held.release();
    const result = await pending;
    const expected = asMultiset(values.flatMap((value) => decodeItems('traces', value)));
    expect(differenceOf(whole('traces', [result]), expected)).toBeNull();
    result.release();
  });
});

describe('bounds', () => {
  it('of the module are those of the contract', async () => {
    const { exports } = await KernelHost.load();
    expect({
      records: exports.MAX_RECORDS.value,
      items: exports.MAX_ITEMS.value,
      resources: exports.MAX_RESOURCES.value,
      scopes: exports.MAX_SCOPES.value,
      shards: exports.MAX_SHARDS.value,
      inputBytes: CALL_BOUNDS.inputBytes,
    }).toEqual(CALL_BOUNDS);
  });

  it('of a value above what a call takes: it is refused, and nothing behind it is lost', async () => {
    const { split } = await openSplit();
    // Untouched pages of zeroes: only the length is looked at.
    const values = [new Uint8Array(CALL_BOUNDS.inputBytes + 1), ...requestsOf('traces', 1)];
    const refused = await split.split('traces', { values }, LIMITS);
    expect(refused).toMatchObject({ taken: 1, statuses: [RECORD_STATUS.output_too_large], outputs: [] });
    refused.release();
  });

  it('are kept when routing is set: no slot or override leads beyond the shards', async () => {
    const { split } = await openSplit();
    const slots = new Uint16Array(65_536);
    slots[65_535] = 16;
    expect(() => split.setRouting('traces', routingWith({ slots }))).toThrow(/shard 16 of 16/);
    expect(() => split.setRouting('traces', routingWith({ overrides: new Map([[1n, 16]]) }))).toThrow(RangeError);
    expect(() => split.setRouting('traces', routingWith({ slots: new Uint16Array(4) }))).toThrow(RangeError);
    expect(() => split.setRouting('traces', routingWith({ shardCount: 4_097 }))).toThrow(RangeError);
  });

  it('of the regions: nothing is written outside, whatever the bytes', async () => {
    const { host, split } = await openSplit({ inputBytes: 2 * MiB, outputBytes: MiB });
    const canaries = plantCanaries(host);
    const random = createSeededRandom(99);
    const untouched = Buffer.alloc(host.output.bytes, 0xa5);
    const foreign = largeRequest(1).subarray(0, 4_096);
    for (let round = 0; round < 400; round++) {
      const signal = SIGNALS[round % 3]!;
      const values = requestsOf(signal, 3, 20, round + 1).map((request, index) =>
        index === 1 ? request : wound(request, foreign, random),
      );
      host.u8.fill(0xa5, host.output.at, host.output.at + host.output.bytes);
      const result = await split.split(signal, { values }, { maxRecordBytes: 4_096, maxOutputBytes: 64 * 1024 });
      const end = Math.max(host.output.at, ...result.outputs.map(({ value }) => value.byteOffset + value.length));
      const above = host.u8.subarray(end, host.output.at + host.output.bytes);
      expect(above.equals(untouched.subarray(0, above.length))).toBe(true);
      const again = await split.split(signal, { values: result.outputs.map(({ value }) => value) }, LIMITS);
      expect(again.statuses.every((status) => status === RECORD_STATUS.ok)).toBe(true);
      expect(again.aggregates.items).toBe(result.aggregates.items);
      again.release();
      result.release();
    }
    expect(canaries.broken()).toEqual([]);
  });

  it('of the record that a value lies in: what follows it in memory is not read as its own', async () => {
    const { split } = await openSplit();
    // The span claims bytes that lie behind its record, where a whole record follows in the same buffer.
    const good = resourceX(scope(span(1, 1), span(2, 2)));
    const long = resourceX(scope(concat(hex('12 7f'), new Uint8Array(20))));
    const buffer = concat(long, good, good);
    const values = [
      buffer.subarray(0, long.length),
      buffer.subarray(long.length, long.length + good.length),
      buffer.subarray(long.length + good.length),
    ];
    const result = await split.split('traces', { values }, LIMITS);
    expect(result.statuses).toEqual([RECORD_STATUS.malformed, RECORD_STATUS.ok, RECORD_STATUS.ok]);
    expect(result.aggregates.items).toBe(4);
    result.release();
  });
});

describe('an item', () => {
  const id = (bytes: number) => new Uint8Array(bytes).fill(0x22);
  const message = (field: number, bytes: number) => len(field, len(30, id(bytes)));
  const attributes = (field: number) => [message(field, 5), message(field, 200), len(field)];
  const status = len(15, text(2, 'broken'), varint(3, 2));
  const ids = [len(1, id(16)), len(2, id(8)), len(4, id(8))];
  const times = [varint(6, 2), fixed64(7, 1n << 60n), fixed64(8, (1n << 60n) + 5n)];
  const spanFields = [...ids, text(5, 'GET /cart'), ...times, ...attributes(9), ...attributes(11), ...attributes(13)];
  const long = message(13, 16_500);
  const CASES: ReadonlyArray<readonly [string, Signal, Uint8Array[]]> = [
    ['a span as SDKs write it', 'traces', [...spanFields, status, fixed32(16, 0x100), long]],
    [
      'a span that ends with its name',
      'traces',
      [...ids, text(3, 'state'), text(5, 'a name of some length, 40 bytes at least')],
    ],
    [
      'a span without a parent, nor a kind',
      'traces',
      [...ids.slice(0, 2), text(5, 'GET'), ...times.slice(1), message(9, 60)],
    ],
    ['a span in reverse', 'traces', [fixed32(16, 1), status, ...spanFields.toReversed()]],
    [
      'a log record',
      'logs',
      [fixed64(1, 5n), varint(2, 17), text(3, 'ERROR'), message(5, 300), len(9, id(16)), fixed32(8, 1)],
    ],
    ['a metric', 'metrics', [text(1, 'process.cpu.time'), text(2, 'seconds'), message(7, 300)]],
  ];

  it.each(CASES)(
    '%s: is well formed where it ends with a field, and at no other byte',
    async (_name, signal, fields) => {
      const { split } = await openSplit();
      const content = concat(...fields);
      let end = 0;
      const ends = new Set([0, ...fields.map((field) => (end += field.length))]);
      // Every byte of short fields and of the first and last bytes of long ones.
      const cuts = Array.from({ length: content.length + 1 }, (_, at) => at).filter(
        (at) => at < 2_000 || [...ends].some((boundary) => Math.abs(boundary - at) < 70),
      );
      // One buffer, so that behind each value lie bytes that would go on with it.
      const requests = cuts.map((at) => resourceX(scope(len(2, content.subarray(0, at)))));
      const buffer = concat(...requests);
      let from = 0;
      const values = requests.map(({ length }) => {
        from += length;
        return buffer.subarray(from - length, from);
      });
      const result = await split.split(signal, { values }, LIMITS);
      const taken = cuts.filter((_, index) => result.statuses[index] === RECORD_STATUS.ok);
      expect(taken).toEqual(cuts.filter((at) => ends.has(at)));
      result.release();
    },
  );
});

describe('a record that crosses the output bound', () => {
  it('leaves no trace: what comes before it is as if it had not been there, and so is the next call', async () => {
    const used = await openSplit();
    const fresh = await openSplit();
    for (const signal of SIGNALS) {
      const values = requestsOf(signal, 30, 60);
      const all = await fresh.split.split(signal, { values: values.slice(0, 12) }, LIMITS);
      const bound = all.outputs.reduce((sum, { value }) => sum + value.length, 0) * 1.05;
      all.release();
      const cut = await used.split.split(signal, { values }, { ...LIMITS, maxOutputBytes: bound });
      expect(cut.taken).toBeGreaterThan(5);
      expect(cut.taken).toBeLessThan(30);
      const same = await fresh.split.split(signal, { values: values.slice(0, cut.taken) }, LIMITS);
      expect(answerOf(cut)).toEqual(answerOf(same));
      const next = { values: values.slice(cut.taken) };
      const rest = await used.split.split(signal, next, LIMITS);
      const expected = await fresh.split.split(signal, next, LIMITS);
      expect(answerOf(rest)).toEqual(answerOf(expected));
      for (const result of [cut, same, rest, expected]) result.release();
    }
  });

  it('is refused where it stands first, with its lists emptied again', async () => {
    const { split } = await openSplit();
    const [large] = requestsOf('traces', 1, 400);
    const [small] = requestsOf('traces', 1, 3, 2);
    const limits = { ...LIMITS, maxOutputBytes: 20_000 };
    const result = await split.split('traces', { values: [large!, small!] }, limits);
    expect(result.statuses).toEqual([RECORD_STATUS.output_too_large, RECORD_STATUS.ok]);
    const alone = await split.split('traces', { values: [small!] }, limits);
    expect(answerOf(result).outputs).toEqual(answerOf(alone).outputs);
    expect(result.aggregates).toEqual(alone.aggregates);
    result.release();
    alone.release();
  });
});

describe('values', () => {
  it("in the kernel's own memory are taken where they lie", async () => {
    const { host, split } = await openSplit();
    const first = await split.split('traces', { values: requestsOf('traces', 10) }, LIMITS);
    const own = first.outputs.map(({ value }) => value);
    host.u8.fill(0, host.input.at, host.input.at + host.input.bytes);
    const again = await split.split('traces', { values: own }, LIMITS);
    const input = host.u8.subarray(host.input.at, host.input.at + host.input.bytes);
    expect(input.equals(Buffer.alloc(host.input.bytes))).toBe(true);
    expect(differenceOf(whole('traces', [again]), whole('traces', [first]))).toBeNull();
    again.release();
    first.release();
  });

  it('give the same answer from one buffer with gaps as from buffers of their own', async () => {
    const { split } = await openSplit();
    const values = requestsOf('metrics', 20);
    const gap = 70;
    const buffer = new Uint8Array(values.reduce((sum, value) => sum + value.length + gap, gap)).fill(0xff);
    let at = gap;
    const views = values.map((value) => {
      buffer.set(value, at);
      at += value.length + gap;
      return buffer.subarray(at - value.length - gap, at - gap);
    });
    const apart = await split.split('metrics', { values }, LIMITS);
    const together = await split.split('metrics', { values: views }, LIMITS);
    expect(answerOf(together)).toEqual(answerOf(apart));
    apart.release();
    together.release();
  });

  it('with a group that is none fail the call, and only that', async () => {
    const { split } = await openSplit();
    const values = requestsOf('traces', 2);
    await expect(split.split('traces', { values, groups: Uint8Array.of(0, 64) }, LIMITS)).rejects.toThrow(/group 64/);
    await expect(split.split('traces', { values, groups: Uint8Array.of(0) }, LIMITS)).rejects.toThrow(RangeError);
    const result = await split.split('traces', { values }, LIMITS);
    expect(result.aggregates.items).toBe(100);
    result.release();
  });

  it('of a signal without routing fail the call', async () => {
    const { split } = await createWasmKernels();
    await expect(split.split('logs', { values: [] }, LIMITS)).rejects.toThrow(/before setRouting/);
  });
});

describe('the service instances of a call', () => {
  it('are told apart up to 4,096, and items of more are in the shards only', async () => {
    const { split } = await openSplit();
    const request = (from: number, to: number) =>
      concat(
        ...Array.from({ length: to - from }, (_, n) =>
          resourceX(resource({ 'service.name': 'many', 'service.instance.id': `i-${from + n}` }), scope(span(1, 1))),
        ),
      );
    const result = await split.split('traces', { values: [request(0, 4_000), request(3_000, 5_000)] }, LIMITS);
    expect(result.aggregates.services).toHaveLength(4_096);
    expect(result.aggregates.services[3_500]).toMatchObject({ instance: 'i-3500', items: 2 });
    expect(result.aggregates.services[4_095]).toMatchObject({ instance: 'i-4095', items: 1 });
    expect(result.aggregates.shards.reduce((sum, { items }) => sum + items, 0)).toBe(6_000);
    result.release();
    const next = await split.split('traces', { values: [request(4_999, 5_000)] }, LIMITS);
    expect(next.aggregates.services).toMatchObject([{ service: 'many', instance: 'i-4999', items: 1, requests: 0 }]);
    next.release();
  });

  it('keep their names over polls, and lose none when the kernel forgets what it knew', async () => {
    const { split } = await openSplit();
    // The names of one poll are longer than the kernel keeps; those of the next two come again.
    const polls = [
      ['a', 'b'],
      ['b', 'c'],
      ['x'.repeat(700_000), 'y'.repeat(700_000), 'c'],
      ['c', 'a'],
      ['a', 'c'],
    ];
    const results = [];
    for (const names of polls) {
      const value = concat(
        ...names.map((name) =>
          resourceX(
            resource({ 'service.name': name, 'service.instance.id': `of ${name}` }),
            scope(span(1, 1, varint(6, 2))),
          ),
        ),
      );
      results.push(await split.split('traces', { values: [value] }, LIMITS));
    }
    // Read late: what a result says does not change with later polls.
    const expected = polls.map((names) =>
      names.map((service) => ({ service, instance: `of ${service}`, items: 1, requests: 1 })),
    );
    for (const [i, { aggregates, release }] of results.entries()) {
      expect(aggregates.services).toMatchObject(expected[i]!);
      expect(aggregates.services).toHaveLength(expected[i]!.length);
      expect(aggregates.services.map(({ requestLatency }) => requestLatency[0])).toEqual(expected[i]!.map(() => 1));
      release();
    }
  });

  it('are counted only for records that are taken', async () => {
    const { split } = await openSplit();
    const of = (service: string, ...more: Uint8Array[]) =>
      resourceX(resource({ 'service.name': service }), scope(span(1, 1, varint(6, 2)), ...more));
    const values = [of('good'), of('bad', hex('12 05 0a')), of('good')];
    const result = await split.split('traces', { values }, LIMITS);
    expect(result.aggregates.services).toMatchObject([{ service: 'good', items: 2, requests: 2 }]);
    expect(result.aggregates.shards).toMatchObject([{ items: 2 }]);
    expect([...result.aggregates.slotBytes]).toHaveLength(2);
    result.release();
  });
});
