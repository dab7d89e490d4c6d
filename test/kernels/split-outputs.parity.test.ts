/** Where items go and what is summed up of them, on every split kernel, against values worked out by other means. */
import { beforeAll, describe, expect, it } from 'vitest';
import createXxhash from 'xxhash-wasm';
import {
  BY_TRACE_ID,
  bucketOf,
  CALL_BOUNDS,
  type KeySelector,
  LATENCY_BUCKETS,
} from '../../src/kernels/split/kernel.ts';
import { fieldsOf } from '../../src/kernels/split/reference-rule.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { SIGNALS } from '../../src/signals.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';
import * as otlp from '../support/otlp-pieces.ts';
import { asMultiset, type DecodedItem, decodeItems, differenceOf } from '../support/otlp-schema.ts';
import { ROOMY, routingWith, type SplitAnswer, splitWithAll } from '../support/split-agreement.ts';

const { concat, double, fixed64, hex, item, keyValue, len, resource, resourceX, scope, span, text, varint } = otlp;

let xxh64: (bytes: Uint8Array) => bigint;
beforeAll(async () => {
  const library = await createXxhash();
  xxh64 = (bytes) => library.h64Raw(bytes);
});

const shardOf = (key: Uint8Array) => routingWith().slots[Number(xxh64(key) >> 48n)]!;
const utf8 = (value: string) => new TextEncoder().encode(value);
const serviceOf = ({ resource: around }: DecodedItem) =>
  JSON.parse(around).resource.attributes[0].value.stringValue as string;

/** Shard of the only item of a request. */
async function routed(request: Uint8Array, selector: KeySelector, signal: (typeof SIGNALS)[number] = 'traces') {
  const answer = await splitWithAll(signal, { values: [request] }, ROOMY, routingWith({ selector }));
  expect(answer.statuses).toEqual(['ok']);
  expect(answer.outputs).toHaveLength(1);
  const [{ shard }] = answer.outputs as [SplitAnswer['outputs'][number]];
  expect(answer.aggregates.shards.map((aggregate) => aggregate.shard)).toEqual([shard]);
  return shard;
}

describe('routing', () => {
  it('sends every span of the corpus to the shard of its trace id, and every trace to one shard', async () => {
    const values = createCorpus({ seed: 50, signal: 'traces', itemsPerRequest: 100 }).requests(10);
    const answer = await splitWithAll('traces', { values });
    let spans = 0;
    for (const { shard, value } of answer.outputs) {
      for (const { traceId } of decodeItems('traces', value)) {
        spans++;
        expect(shard).toBe(shardOf(hex(traceId)));
      }
    }
    expect(spans).toBe(1_000);
    expect(new Set(answer.outputs.map(({ shard }) => shard)).size).toBe(16);
  });

  it('sends log records without a trace to the shard of their service.name', async () => {
    const values = createCorpus({ seed: 51, signal: 'logs', itemsPerRequest: 200 }).requests(3);
    const answer = await splitWithAll('logs', { values });
    let untraced = 0;
    for (const { shard, value } of answer.outputs) {
      for (const { traceId, resource: around } of decodeItems('logs', value)) {
        const service = JSON.parse(around).resource.attributes[0].value.stringValue as string;
        if (traceId === '') untraced++;
        expect(shard).toBe(shardOf(traceId === '' ? utf8(service) : hex(traceId)));
      }
    }
    expect(untraced).toBeGreaterThan(100);
  });

  it('sends metrics to the shard of their name', async () => {
    const values = createCorpus({ seed: 52, signal: 'metrics', itemsPerRequest: 100 }).requests(2);
    const routing = routingWith({ selector: { kind: 'metric.name' } });
    const answer = await splitWithAll('metrics', { values }, ROOMY, routing);
    for (const { shard, value } of answer.outputs) {
      for (const { metricName } of decodeItems('metrics', value)) expect(shard).toBe(shardOf(utf8(metricName)));
    }
  });

  it('takes the top 18 bits of the hash where there are 2^18 slots', async () => {
    const slots = Uint16Array.from({ length: 2 ** 18 }, (_, slot) => (slot * 7) % 300);
    const values = createCorpus({ seed: 58, signal: 'traces', itemsPerRequest: 100 }).requests(10);
    const answer = await splitWithAll(
      'traces',
      { values },
      ROOMY,
      routingWith({ slotBits: 18, slots, shardCount: 300 }),
    );
    for (const { shard, value } of answer.outputs) {
      for (const { traceId } of decodeItems('traces', value)) {
        expect(shard).toBe(slots[Number(xxh64(hex(traceId)) >> 46n)]);
      }
    }
    expect(answer.outputs.length).toBeGreaterThan(100);
  });

  const attributeValues: ReadonlyArray<readonly [string, Uint8Array, () => Uint8Array]> = [
    ['a string: its UTF-8 bytes', keyValue('k', 'Zürich ✓'), () => utf8('Zürich ✓')],
    ['an int: 8 bytes LE', keyValue('k', 258), () => hex('0201000000000000')],
    ['a negative int: 8 bytes LE', keyValue('k', -2), () => hex('feffffffffffffff')],
    ['a double: 8 bytes LE', keyValue('k', { double: 1.5 }), () => hex('000000000000f83f')],
    ['true: one byte', keyValue('k', true), () => hex('01')],
    ['false: one byte', keyValue('k', false), () => hex('00')],
    ['a bool that is 300: one byte, 1', len(1, text(1, 'k'), len(2, varint(2, 300))), () => hex('01')],
    ['the last key counts', len(1, text(1, 'x'), text(1, 'k'), len(2, text(1, 'v'))), () => utf8('v')],
    ['the value may stand before the key', len(1, len(2, text(1, 'v')), text(1, 'k')), () => utf8('v')],
    [
      'the last value counts',
      len(1, text(1, 'k'), len(2, text(1, 'v')), len(2, varint(3, 7))),
      () => hex('0700000000000000'),
    ],
    ['the last of a value counts', len(1, text(1, 'k'), len(2, varint(3, 7), text(1, 'v'))), () => utf8('v')],
    [
      'an unknown kind of value is passed over',
      len(1, text(1, 'k'), len(2, text(1, 'v'), text(9, 'x'))),
      () => utf8('v'),
    ],
    ['a wrong wire type is passed over', len(1, text(1, 'k'), len(2, text(1, 'v'), varint(4, 1))), () => utf8('v')],
    ['the first of the key counts', concat(keyValue('k', 'first'), keyValue('k', 'second')), () => utf8('first')],
    [
      'an int spelled with too many bytes',
      len(1, text(1, 'k'), len(2, hex('18 87808000'))),
      () => hex('0700000000000000'),
    ],
  ];

  it.each(attributeValues)('by a resource attribute: %s', async (_name, attributes, key) => {
    const request = resourceX(len(1, keyValue('service.name', 'cart'), attributes), scope(span(1, 1)));
    expect(await routed(request, { kind: 'resource-attribute', name: 'k' })).toBe(shardOf(key()));
  });

  const missing: ReadonlyArray<readonly [string, Uint8Array]> = [
    ['is not there', hex('')],
    ['is the empty string', keyValue('k', '')],
    ['is bytes', len(1, text(1, 'k'), len(2, text(7, 'b')))],
    ['is an array', len(1, text(1, 'k'), len(2, len(5)))],
    ['became bytes at last', len(1, text(1, 'k'), len(2, text(1, 'v'), text(7, 'b')))],
    ['has no value', len(1, text(1, 'k'))],
    ['has an empty value', len(1, text(1, 'k'), len(2))],
    ['has a value, then an empty one', len(1, text(1, 'k'), len(2, text(1, 'v')), len(2))],
    ['is empty at first, whatever comes later', concat(keyValue('k', ''), keyValue('k', 'later'))],
    ['is a prefix only', keyValue('kk', 'v')],
  ];

  it.each(missing)('falls back to service.name where the attribute %s', async (_name, attributes) => {
    const request = resourceX(len(1, attributes, keyValue('service.name', 'cart')), scope(span(1, 1)));
    expect(await routed(request, { kind: 'resource-attribute', name: 'k' })).toBe(shardOf(utf8('cart')));
  });

  /** The same fields as attributes of a span (9), or of a log record (6), a resource's being field 1. */
  const asItems = (attributes: Uint8Array, number: number) =>
    concat(
      ...fieldsOf(attributes, 0, attributes.length).map((field) =>
        len(number, attributes.subarray(field.content, field.end)),
      ),
    );
  const ITEM_ATTRIBUTES = [
    ['traces', 9],
    ['logs', 6],
  ] as const;

  describe.each(ITEM_ATTRIBUTES)("by an attribute of the item's own: %s", (signal, number) => {
    it.each(attributeValues)('%s', async (_name, attributes, key) => {
      const around = resource({ 'service.name': 'cart', k: 'of the resource' });
      const request = resourceX(around, scope(item(text(3, 'x'), asItems(attributes, number))));
      expect(await routed(request, { kind: 'item-attribute', name: 'k' }, signal)).toBe(shardOf(key()));
    });

    it.each(missing)('falls back to service.name where it %s', async (_name, attributes) => {
      const around = resource({ 'service.name': 'cart', k: 'of the resource' });
      const request = resourceX(around, scope(item(asItems(attributes, number))));
      expect(await routed(request, { kind: 'item-attribute', name: 'k' }, signal)).toBe(shardOf(utf8('cart')));
    });

    it('each by its own, none by that of the item before', async () => {
      const own = (value: string) => item(asItems(keyValue('k', value), number), text(3, value));
      const request = resourceX(resource({ 'service.name': 'cart' }), scope(own('a'), item(text(3, 'none')), own('b')));
      const selector = { kind: 'item-attribute', name: 'k' } as const;
      const answer = await splitWithAll(signal, { values: [request] }, ROOMY, routingWith({ selector }));
      const expected = new Map<number, number>();
      for (const key of ['a', 'cart', 'b'])
        expected.set(shardOf(utf8(key)), (expected.get(shardOf(utf8(key))) ?? 0) + 1);
      expect(new Map(answer.aggregates.shards.map(({ shard, items }) => [shard, items]))).toEqual(
        new Map([...expected].sort(([a], [b]) => a - b)),
      );
    });
  });

  it('knows no attribute of a metric: those of its points are not its own', async () => {
    const point = len(1, len(7, text(1, 'k'), len(2, text(1, 'v'))));
    const request = resourceX(resource({ 'service.name': 'cart' }), scope(item(text(1, 'm'), len(5, point))));
    expect(await routed(request, { kind: 'item-attribute', name: 'k' }, 'metrics')).toBe(shardOf(utf8('cart')));
  });

  it.each([
    ['none', hex('')],
    ['15 bytes', len(1, otlp.traceId(7, 15))],
    ['17 bytes', len(1, otlp.traceId(7, 17))],
    ['all zero', len(1, otlp.traceId(0))],
    ['empty', len(1)],
    ['a good one, then an empty one', concat(len(1, otlp.traceId(7)), len(1))],
    ['another wire type', varint(1, 7)],
  ])('falls back to service.name where the trace id is missing: %s', async (_name, fields) => {
    const request = resourceX(resource({ 'service.name': 'cart' }), scope(item(fields)));
    expect(await routed(request, { kind: 'trace_id' })).toBe(shardOf(utf8('cart')));
  });

  it('takes the last trace id of a span, wherever it stands', async () => {
    const request = resourceX(scope(item(len(1, otlp.traceId(7)), text(5, 'name'), len(1, otlp.traceId(8)))));
    expect(await routed(request, { kind: 'trace_id' })).toBe(shardOf(otlp.traceId(8)));
  });

  it('knows no trace id of a metric, no metric name of a span', async () => {
    const around = resource({ 'service.name': 'cart' });
    const metric = resourceX(around, scope(item(len(1, otlp.traceId(7)), len(9, hex('08 01'.repeat(8))))));
    expect(await routed(metric, { kind: 'trace_id' }, 'metrics')).toBe(shardOf(utf8('cart')));
    const named = resourceX(around, scope(item(text(1, 'name'))));
    expect(await routed(named, { kind: 'metric.name' }, 'traces')).toBe(shardOf(utf8('cart')));
  });

  /** As the KeySelector docstring tells it; the messages are the KeyValues without tag and length. */
  const identity = (...keyValues: Uint8Array[]) => {
    const sum = keyValues.reduce((total, field) => total + xxh64(field.subarray(2)), 0n);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, sum), true);
    return bytes;
  };

  it.each(SIGNALS)('%s: by the resource identity, whatever the order of the attributes', async (signal) => {
    const [a, b, c] = [keyValue('a', 'x'), keyValue('b', 2), keyValue('c', 'z'.repeat(40))];
    const expected = shardOf(identity(a, b, c));
    for (const attributes of [
      [a, b, c],
      [c, a, b],
    ]) {
      const request = resourceX(len(1, ...attributes), scope(item(text(30, 'x'))));
      expect(await routed(request, { kind: 'resource' }, signal)).toBe(expected);
    }
    const merged = resourceX(len(1, a), scope(item(text(30, 'x'))), len(1, c, varint(2, 5)), len(1, b));
    expect(await routed(merged, { kind: 'resource' }, signal)).toBe(expected);
    const twice = resourceX(len(1, a, a), scope(item(text(30, 'x'))));
    expect(await routed(twice, { kind: 'resource' }, signal)).toBe(shardOf(identity(a, a)));
  });

  it('falls back to the resource identity where there is no service.name either, also without any resource', async () => {
    const a = keyValue('a', 'x');
    const selectors: KeySelector[] = [{ kind: 'trace_id' }, { kind: 'service.name' }, { kind: 'metric.name' }];
    for (const selector of [...selectors, { kind: 'resource-attribute', name: 'k' } as const]) {
      expect(await routed(resourceX(len(1, a), scope(item())), selector)).toBe(shardOf(identity(a)));
      expect(await routed(resourceX(scope(item())), selector)).toBe(shardOf(identity()));
    }
  });

  it('takes service.name from a Resource that stands behind the scopes', async () => {
    const request = resourceX(scope(item()), resource({ 'service.name': 'late' }));
    expect(await routed(request, { kind: 'trace_id' })).toBe(shardOf(utf8('late')));
  });

  it('looks a hash up in the overrides first, exactly, and leaves the item out of the slot loads', async () => {
    const hash = xxh64(otlp.traceId(7));
    const target = (shardOf(otlp.traceId(7)) + 1) % 16;
    const values = [resourceX(scope(span(7, 1), span(8, 2)))];
    for (const [override, shard] of [
      [hash, target],
      [hash ^ 1n, shardOf(otlp.traceId(7))],
    ] as const) {
      const overrides = new Map([
        [0n, 3],
        [override, target],
      ]);
      const answer = await splitWithAll('traces', { values }, ROOMY, routingWith({ overrides }));
      const at = answer.outputs.find(({ value }) =>
        decodeItems('traces', value).some(({ traceId }) => traceId === '07'.repeat(16)),
      );
      expect(at!.shard).toBe(shard);
      const slots = [...answer.aggregates.slotBytes].filter((_, index) => index % 2 === 0);
      expect(slots.includes(Number(hash >> 48n))).toBe(shard !== target);
    }
  });

  it('sends the items of a key that is spread by the slots of their trace ids, and all others by their keys', async () => {
    const byService = { kind: 'service.name' } as const;
    const overrides = new Map([[xxh64(utf8('spread')), BY_TRACE_ID] as const]);
    const values = ['spread', 'other'].map((service) =>
      resourceX(resource({ 'service.name': service }), scope(...Array.from({ length: 200 }, (_, n) => span(n, n)))),
    );
    const answer = await splitWithAll('traces', { values }, ROOMY, routingWith({ selector: byService, overrides }));
    const seen = new Map<string, number>();
    for (const { shard, value } of answer.outputs) {
      for (const { traceId, resource: around } of decodeItems('traces', value)) {
        const service = JSON.parse(around).resource.attributes[0].value.stringValue as string;
        seen.set(service, (seen.get(service) ?? 0) + 1);
        // Span 0 has no trace id: it goes by its resource.
        if (traceId === '00'.repeat(16)) continue;
        expect(shard).toBe(shardOf(service === 'spread' ? hex(traceId) : utf8(service)));
      }
    }
    expect([...seen.values()]).toEqual([200, 200]);
    expect(new Set(answer.outputs.map(({ shard }) => shard)).size).toBe(16);
    // Of the slots, not of a shard of its own; as keys are counted what they are.
    const slots = [...answer.aggregates.slotBytes].filter((_, index) => index % 2 === 0);
    expect(slots).toContain(Number(xxh64(otlp.traceId(7)) >> 48n));
    for (const hash of answer.aggregates.keySamples.hashes)
      expect([xxh64(utf8('spread')), xxh64(utf8('other'))]).toContain(hash);
  });

  it.each(SIGNALS)(
    'sends items of %s without a trace id, of a key that is spread, by their resource',
    async (signal) => {
      const plain = { ...routingWith({ selector: { kind: 'resource' } }) };
      const byService = { kind: 'service.name' } as const;
      const overrides = new Map([[xxh64(utf8('spread')), BY_TRACE_ID] as const]);
      const values = Array.from({ length: 50 }, (_, pod) =>
        concat(
          resourceX(
            resource({ 'service.name': 'spread', 'k8s.pod.uid': pod }),
            scope(item(text(3, 'a')), item(text(3, 'b'))),
            resource({ zone: 'behind the scopes' }),
            text(3, 'schema'),
          ),
        ),
      );
      const spread = await splitWithAll(signal, { values }, ROOMY, routingWith({ selector: byService, overrides }));
      const byResource = await splitWithAll(signal, { values }, ROOMY, plain);
      expect(spread.outputs).toEqual(byResource.outputs);
      expect(spread.outputs.length).toBeGreaterThan(10);
    },
  );

  it.each(SIGNALS)('splits the corpus of %s alike where half of its services are spread', async (signal) => {
    const values = createCorpus({ seed: 53, signal, itemsPerRequest: 30 }).requests(20);
    const services = [...new Set(values.flatMap((value) => decodeItems(signal, value)).map(serviceOf))];
    const overrides = new Map(
      services.map((service, n) => [xxh64(utf8(service)), n % 2 === 0 ? BY_TRACE_ID : n % 16] as const),
    );
    const answer = await splitWithAll(
      signal,
      { values },
      ROOMY,
      routingWith({ selector: { kind: 'service.name' }, overrides }),
    );
    expect(
      differenceOf(
        asMultiset(answer.outputs.flatMap(({ value }) => decodeItems(signal, value))),
        asMultiset(values.flatMap((value) => decodeItems(signal, value))),
      ),
    ).toBeNull();
  });

  it('finds each of 1,024 overrides', async () => {
    const ids = Array.from({ length: 1_024 }, (_, n) => Buffer.from(`trace ${String(n).padStart(10, '0')}`));
    const overrides = new Map(ids.map((id, n) => [xxh64(id), n % 16]));
    const values = [resourceX(scope(...ids.map((id) => item(len(1, id)))))];
    const answer = await splitWithAll('traces', { values }, ROOMY, routingWith({ overrides }));
    for (const { shard, value } of answer.outputs) {
      for (const { traceId } of decodeItems('traces', value)) {
        expect(shard).toBe(Number(Buffer.from(traceId, 'hex').toString().slice(6)) % 16);
      }
    }
    expect(answer.aggregates).toMatchObject({ items: 1_024, slotBytes: new Uint32Array() });
  });
});

describe('outputs', () => {
  const decoded = (outputs: SplitAnswer['outputs']) => outputs.flatMap(({ value }) => decodeItems('traces', value));
  const spanIds = (items: DecodedItem[]) => items.map(({ spanId }) => spanId);

  it('keep the order of the input per shard, and come by shard, then group', async () => {
    const values = createCorpus({ seed: 53, signal: 'traces', itemsPerRequest: 50 }).requests(12);
    const groups = Uint8Array.from(values, (_, index) => (index * 5) % 4);
    const answer = await splitWithAll('traces', { values, groups }, { ...ROOMY, maxRecordBytes: 8_192 });
    const order = answer.outputs.map(({ shard, group }) => shard * 64 + group);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(answer.outputs.length).toBeGreaterThan(new Set(order).size);
    for (const key of new Set(order)) {
      const own = answer.outputs.filter(({ shard, group }) => shard * 64 + group === key);
      const shard = key >> 6;
      const expected = values
        .filter((_, index) => groups[index] === (key & 63))
        .flatMap((value) => decodeItems('traces', value))
        .filter(({ traceId }) => shardOf(hex(traceId)) === shard);
      // One after the other they are a request, too.
      const joined = concat(...own.map(({ value }) => value));
      expect(spanIds(decodeItems('traces', joined))).toEqual(spanIds(expected));
    }
  });

  it('never mix groups', async () => {
    const values = createCorpus({ seed: 54, signal: 'traces', itemsPerRequest: 20 }).requests(64);
    const groups = Uint8Array.from(values, (_, index) => index);
    const answer = await splitWithAll('traces', { values, groups });
    for (let group = 0; group < 64; group++) {
      const own = answer.outputs.filter((output) => output.group === group);
      expect(differenceOf(asMultiset(decoded(own)), asMultiset(decodeItems('traces', values[group]!)))).toBeNull();
    }
  });

  it('are never above the record limit, however tight that is, and no item is lost', async () => {
    const values = createCorpus({ seed: 55, signal: 'traces', itemsPerRequest: 64 }).requests(4);
    const expected = asMultiset(values.flatMap((value) => decodeItems('traces', value)));
    for (let maxRecordBytes = 1_200; maxRecordBytes < 6_000; maxRecordBytes += 137) {
      const answer = await splitWithAll('traces', { values }, { ...ROOMY, maxRecordBytes });
      if (answer.statuses.some((status) => status !== 'ok')) continue;
      for (const { value } of answer.outputs) expect(value.length).toBeLessThanOrEqual(maxRecordBytes);
      expect(differenceOf(asMultiset(decoded(answer.outputs)), expected)).toBeNull();
    }
  });

  it('begin a new record just where the next item would cost too much, and repeat resource and scope there', async () => {
    const around = resource({ a: 'b' });
    const scopeFields = text(3, 'url');
    const frames = [1, 2, 3].map((id) => span(1, id));
    const values = [resourceX(around, scope(scopeFields, ...frames))];
    const opening = around.length + 6 + scopeFields.length + 6;
    const two = opening + frames[0]!.length + frames[1]!.length;
    const record = (...items: Uint8Array[]) =>
      Buffer.from(resourceX(around, scope(scopeFields, ...items))).toString('hex');
    const hexes = ({ outputs }: SplitAnswer) => outputs.map(({ value }) => value.toString('hex'));
    const [one, second, third] = frames as [Uint8Array, Uint8Array, Uint8Array];
    expect(hexes(await splitWithAll('traces', { values }, { ...ROOMY, maxRecordBytes: two }))).toEqual([
      record(one, second),
      record(third),
    ]);
    expect(hexes(await splitWithAll('traces', { values }, { ...ROOMY, maxRecordBytes: two - 1 }))).toEqual([
      record(one),
      record(second),
      record(third),
    ]);
  });

  it('hold each resource and scope occurrence once, the empty ones not at all, with all that stands around the items', async () => {
    const values = [
      concat(
        resourceX(scope(text(3, 'first'), span(1, 1), len(1, text(1, 'name')), span(1, 2)), text(3, 'schema')),
        resourceX(resource({ empty: true }), scope(text(3, 'no item'))),
        resourceX(scope(span(1, 3)), varint(99, 1), scope(text(3, 'none')), scope(span(1, 4))),
      ),
      resourceX(scope(span(1, 5))),
    ];
    const answer = await splitWithAll('traces', { values });
    expect(answer.outputs.map(({ value }) => value.toString('hex'))).toEqual([
      Buffer.from(
        concat(
          resourceX(text(3, 'schema'), scope(text(3, 'first'), len(1, text(1, 'name')), span(1, 1), span(1, 2))),
          resourceX(varint(99, 1), scope(span(1, 3)), scope(span(1, 4))),
          resourceX(scope(span(1, 5))),
        ),
      ).toString('hex'),
    ]);
  });

  it("hold the fields of each item's own request, once, before its resources, whatever record they begin", async () => {
    const [a, b] = [text(90, 'of a'), concat(varint(91, 1), text(92, 'of b'))];
    const values = [
      concat(resourceX(scope(span(1, 1))), a, resourceX(scope(span(1, 2)))),
      resourceX(scope(span(1, 3))),
      concat(resourceX(scope(span(1, 4)), varint(80, 2)), b),
    ];
    const expected = [
      concat(a, resourceX(scope(span(1, 1))), resourceX(scope(span(1, 2)))),
      resourceX(scope(span(1, 3))),
      concat(b, resourceX(varint(80, 2), scope(span(1, 4)))),
    ];
    const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
    const together = await splitWithAll('traces', { values });
    expect(together.outputs.map(({ value }) => hexOf(value))).toEqual([hexOf(concat(...expected))]);
    const one = span(1, 1).length + 12 + a.length;
    const apart = await splitWithAll('traces', { values }, { ...ROOMY, maxRecordBytes: one + 15 });
    expect(apart.outputs.map(({ value }) => hexOf(value))).toEqual(
      [concat(a, resourceX(scope(span(1, 1)))), concat(a, resourceX(scope(span(1, 2)))), ...expected.slice(1)].map(
        hexOf,
      ),
    );
  });

  it('make an item too large where the fields of its request do not fit beside it', async () => {
    const values = [concat(resourceX(scope(span(1, 1))), text(90, 'x'.repeat(300))), text(90, 'y'.repeat(300))];
    const answer = await splitWithAll('traces', { values }, { ...ROOMY, maxRecordBytes: 300 });
    expect(answer.statuses).toEqual(['item_too_large', 'ok']);
  });

  it('copy items and fields as they stand, also with tags and lengths longer than needed', async () => {
    const frame = hex('928000 848000 6a020801');
    const request = resourceX(hex('9a8000 818000 61'), scope(hex('9a8000 818000 62'), frame));
    const answer = await splitWithAll('traces', { values: [request] });
    expect(answer.outputs[0]!.value.toString('hex')).toBe(Buffer.from(request).toString('hex'));
    expect(answer.aggregates.bytes).toBe(frame.length);
  });

  it('spell the lengths of resources and scopes in as few bytes as they take', async () => {
    const inner = span(1, 1);
    const padded = concat(hex('8a80 00 '), hex('bf8000'));
    const scopeBytes = concat(hex('928000'), Uint8Array.of(inner.length | 0x80, 0x80, 0), inner);
    const request = concat(padded.subarray(0, 3), Uint8Array.of(scopeBytes.length | 0x80, 0x80, 0), scopeBytes);
    const answer = await splitWithAll('traces', { values: [request] });
    expect(answer.outputs[0]!.value.toString('hex')).toBe(Buffer.from(resourceX(scope(inner))).toString('hex'));
  });

  it.each([100, 127, 128, 129, 16_383, 16_384, 16_400, 2_097_152])(
    'frame contents of about %i bytes right',
    async (bytes) => {
      const limits = { ...ROOMY, maxRecordBytes: 8 * 1024 * 1024 };
      for (let padding = Math.max(0, bytes - 40); padding < bytes + 10; padding += 1 + (bytes >> 18)) {
        const request = resourceX(scope(item(text(30, 'p'.repeat(padding)))));
        const answer = await splitWithAll('traces', { values: [request] }, limits);
        expect(answer.outputs[0]!.value.equals(request)).toBe(true);
      }
    },
  );
});

describe('aggregates', () => {
  const instance = (service: string, id: string) => resource({ 'service.name': service, 'service.instance.id': id });
  const timed = (id: number, latencyNs: bigint, ...more: Uint8Array[]) =>
    span(id, id, fixed64(7, 1_000n), fixed64(8, 1_000n + latencyNs), ...more);
  const status = (code: number) => len(15, text(2, 'message'), varint(3, code));
  const one = async (request: Uint8Array, signal: (typeof SIGNALS)[number] = 'traces') =>
    (await splitWithAll(signal, { values: [request] })).aggregates;

  it('add up spans by instance: count, bytes, errors, latency, and requests of kind SERVER and CONSUMER', async () => {
    const spans = [
      timed(1, 5_000n, varint(6, 2), status(2)),
      timed(2, 3_000n, varint(6, 5)),
      timed(3, 9_000n, varint(6, 3), status(2)),
      timed(4, 1_000n, varint(6, 2), status(1)),
    ];
    const aggregates = await one(resourceX(instance('cart', 'i-1'), scope(...spans)));
    const bytes = spans.reduce((sum, frame) => sum + frame.length, 0);
    expect(aggregates).toMatchObject({ items: 4, bytes });
    expect(aggregates.services).toHaveLength(1);
    const { requestLatency, ...service } = aggregates.services[0]!;
    expect(service).toEqual({
      service: 'cart',
      instance: 'i-1',
      items: 4,
      bytes,
      errors: 2,
      latencySumNs: 18_000,
      latencyMinNs: 1_000,
      latencyMaxNs: 9_000,
      requests: 3,
      requestErrors: 1,
      requestLatencySumNs: 9_000,
    });
    expect(requestLatency).toHaveLength(LATENCY_BUCKETS);
    for (const latency of [5_000n, 3_000n, 1_000n]) expect(requestLatency[bucketOf(latency)]).toBe(1);
    expect(requestLatency.reduce((sum, count) => sum + count, 0)).toBe(3);
  });

  it.each([0n, 1n, 1_023n, 1_024n, 1_279n, 1_280n, 1_535n, 1_536n, 1_791n, 1_792n, 2_047n, 2_048n, 10_000_000n])(
    'put a latency of %i ns into its bucket',
    async (latencyNs) => {
      const { services } = await one(resourceX(scope(timed(1, latencyNs, varint(6, 2)))));
      expect(services[0]!.requestLatency.indexOf(1)).toBe(bucketOf(latencyNs));
    },
  );

  it.each([2n ** 41n - 1n, 2n ** 41n, 2n ** 42n, 2n ** 63n, 2n ** 64n - 1_001n])(
    'put a latency of %i ns, which is longer than anyone waits, into one of the last buckets',
    async (latencyNs) => {
      const { services } = await one(resourceX(scope(timed(1, latencyNs, varint(6, 2)))));
      expect(services[0]!.requestLatency.indexOf(1)).toBe(bucketOf(latencyNs));
      expect(services[0]!.latencyMaxNs).toBe(Number(latencyNs));
    },
  );

  it('take a latency as 0 where the end is before the start, and the missing time as 0', async () => {
    const { services } = await one(
      resourceX(
        scope(span(1, 1, fixed64(7, 9n), fixed64(8, 5n)), span(2, 2, fixed64(8, 700n)), span(3, 3, fixed64(7, 4n))),
      ),
    );
    expect(services[0]).toMatchObject({ latencyMinNs: 0, latencyMaxNs: 700, latencySumNs: 700 });
  });

  it('let the last of a repeated field count, in any order of fields', async () => {
    const repeated = item(
      status(2),
      fixed64(8, 50n),
      varint(6, 2),
      fixed64(8, 900n),
      varint(6, 3),
      fixed64(7, 100n),
      status(1),
      len(15, text(2, 'no code')),
    );
    const { services } = await one(resourceX(scope(repeated)));
    expect(services[0]).toMatchObject({ errors: 0, requests: 0, latencySumNs: 800 });
  });

  it('read enums as 32-bit numbers, however they are spelled', async () => {
    const spans = [
      span(1, 1, varint(6, 2n ** 32n + 2n)),
      span(2, 2, hex('30 82808080808080808000')),
      span(3, 3, varint(6, -2)),
      span(4, 4, len(15, varint(3, 2n ** 40n + 2n))),
    ];
    const { services } = await one(resourceX(scope(...spans)));
    expect(services[0]).toMatchObject({ requests: 2, errors: 1 });
  });

  it('count log records from severity 17 on as errors', async () => {
    const severities = [0, 9, 16, 17, 24, 300, -1].map((severity) => item(varint(2, severity)));
    const { shards, services } = await one(resourceX(scope(...severities)), 'logs');
    expect(services[0]).toMatchObject({ items: 7, errors: 3, latencySumNs: 0, requests: 0 });
    expect(shards.reduce((sum, shard) => sum + shard.errors, 0)).toBe(3);
  });

  it('name instances by strings only, the first of each key, with invalid UTF-8 replaced', async () => {
    const named = (...attributes: Uint8Array[]) => resourceX(len(1, ...attributes), scope(item()));
    const request = concat(
      named(keyValue('service.name', 7), keyValue('service.instance.id', true)),
      named(keyValue('service.name', 'a'), keyValue('service.name', 'b')),
      named(len(1, text(1, 'service.name'), len(2, hex('0a02c328')))),
      named(len(1, text(1, 'service.name'), len(2, hex('0a02c428')))),
      named(keyValue('service.name', '\ufeffcart'), keyValue('service.instance.id', '')),
      named(keyValue('service.name', 'a')),
    );
    const { services } = await one(request);
    expect(services.map(({ service, instance: id, items }) => [service, id, items])).toEqual([
      ['', '', 1],
      ['a', '', 2],
      ['\ufffd(', '', 1],
      ['\ufffd(', '', 1],
      ['\ufeffcart', '', 1],
    ]);
  });

  it('tell instances apart by both names, whatever is in them', async () => {
    const pairs = [
      ['a', 'bc'],
      ['ab', 'c'],
      ['', 'abc'],
      ['abc', ''],
      ['a', 'b'],
      ['a/b', 'c'],
      ['a', 'b/c'],
    ] as const;
    const request = concat(...pairs.map(([service, id]) => resourceX(instance(service, id), scope(item()))));
    const { services } = await one(concat(request, request));
    expect(services.map(({ service, instance: id, items }) => [service, id, items])).toEqual(
      pairs.map(([service, id]) => [service, id, 2]),
    );
  });

  it('hold 4,096 instances a call; items of others are in the shards only', async () => {
    const values = Array.from({ length: 4_100 }, (_, n) =>
      resourceX(instance('s', `i-${n}`), scope(item(text(30, 'x')))),
    );
    const { aggregates } = await splitWithAll('traces', { values });
    expect(aggregates.services).toHaveLength(4_096);
    expect(aggregates.services.at(-1)!.instance).toBe('i-4095');
    expect(aggregates.items).toBe(4_100);
    expect(aggregates.shards.reduce((sum, shard) => sum + shard.items, 0)).toBe(4_100);
  });

  it('do not give a refused record room among the instances or the watched metrics', async () => {
    const metric = item(text(1, 'process.cpu.time'));
    const bad = concat(
      ...Array.from({ length: 4_096 }, (_, n) => resourceX(instance('bad', `${n}`), scope(metric))),
      hex('ff'),
    );
    const good = resourceX(instance('good', '1'), scope(metric));
    const { aggregates } = await splitWithAll('metrics', { values: [bad, good] });
    expect(aggregates.services.map(({ service }) => service)).toEqual(['good']);
    expect(aggregates.watched).toHaveLength(1);
  });

  it('add up by shard and by slot, to the byte', async () => {
    const values = createCorpus({ seed: 56, signal: 'traces', itemsPerRequest: 100 }).requests(5);
    const { aggregates, outputs } = await splitWithAll('traces', { values });
    const slots = new Map<number, number>();
    for (let at = 0; at < aggregates.slotBytes.length; at += 2) {
      expect(aggregates.slotBytes[at]!).toBeGreaterThan(at === 0 ? -1 : aggregates.slotBytes[at - 2]!);
      slots.set(aggregates.slotBytes[at]!, aggregates.slotBytes[at + 1]!);
    }
    expect([...slots.values()].reduce((sum, bytes) => sum + bytes, 0)).toBe(aggregates.bytes);
    const expectedSlots = new Set<number>();
    for (const { shard, value } of outputs) {
      const items = decodeItems('traces', value);
      expect(aggregates.shards.find((aggregate) => aggregate.shard === shard)!.items).toBe(items.length);
      for (const { traceId } of items) expectedSlots.add(Number(xxh64(hex(traceId)) >> 48n));
    }
    expect([...slots.keys()]).toEqual([...expectedSlots].sort((a, b) => a - b));
    for (const { shard, bytes } of aggregates.shards) {
      const ofShard = [...slots].filter(([slot]) => routingWith().slots[slot] === shard);
      expect(ofShard.reduce((sum, [, slotBytes]) => sum + slotBytes, 0)).toBe(bytes);
    }
    expect(aggregates.shards.map(({ shard }) => shard)).toEqual(outputs.map(({ shard }) => shard));
  });

  it('hand over metrics that tell of CPU and memory, whole, with their instance', async () => {
    const metric = (name: string) => item(text(1, name), len(5, len(1, double(4, 0.5))));
    const names = [
      'process.cpu.time',
      'k8s.pod.memory',
      'container.x',
      'system.y',
      'processes',
      'k8s',
      'app.process.cpu',
    ];
    const request = resourceX(
      instance('cart', 'i-1'),
      scope(...names.map(metric)),
      scope(item(text(1, 'x'), text(1, 'k8s.'))),
    );
    const { watched } = await one(request, 'metrics');
    expect(watched.map((each) => [each.service, each.instance, Buffer.from(each.metric).toString('hex')])).toEqual(
      [...names.slice(0, 4).map(metric), item(text(1, 'x'), text(1, 'k8s.'))].map((frame) => [
        'cart',
        'i-1',
        Buffer.from(frame.subarray(2)).toString('hex'),
      ]),
    );
    expect((await one(resourceX(scope(item(text(1, 'process.x')))), 'logs')).watched).toEqual([]);
  });

  it('hand over 1,024 such metrics a call', async () => {
    const metrics = Array.from({ length: 1_030 }, (_, n) => item(text(1, `system.${n}`)));
    const { watched } = await one(resourceX(scope(...metrics)), 'metrics');
    expect(watched).toHaveLength(1_024);
    expect(Buffer.from(watched.at(-1)!.metric).toString()).toContain('system.1023');
  });
});

describe.each(KERNEL_TWINS)('the $name kernel', ({ split, hash, ring }) => {
  it('refuses a routing that it could not follow', () => {
    const refused = [
      { slots: new Uint16Array(10) },
      { slotBits: 18 as const },
      { shardCount: 15 },
      { shardCount: CALL_BOUNDS.shards + 1 },
      { shardCount: 0 },
      { overrides: new Map([[1n, 16]]) },
      { overrides: new Map(Array.from({ length: 1_025 }, (_, n) => [BigInt(n), 0])) },
    ];
    for (const changes of refused) expect(() => split.setRouting('traces', routingWith(changes))).toThrow(RangeError);
  });

  it('refuses groups that it could not keep apart', async () => {
    split.setRouting('traces', routingWith());
    await expect(split.split('traces', { values: [hex(''), hex('')], groups: hex('01') }, ROOMY)).rejects.toThrow(
      RangeError,
    );
    await expect(split.split('traces', { values: [hex('')], groups: hex('40') }, ROOMY)).rejects.toThrow(RangeError);
    const result = await split.split('traces', { values: [resourceX(scope(span(1, 1)))] }, ROOMY);
    expect(result.outputs).toHaveLength(1);
    result.release();
  });

  it('answers calls in order while results are held, and is not confused by hashing, rings and new routings between', async () => {
    const routing = routingWith();
    split.setRouting('traces', routing);
    // More at once than the memory for results holds: later calls wait for the release of earlier ones.
    const values = createCorpus({ seed: 57, signal: 'traces', itemsPerRequest: 500 }).requests(40);
    const [alone] = [await split.split('traces', { values }, ROOMY)];
    const expected = alone.outputs.map(({ value }) => Buffer.from(value));
    alone.release();
    const calls = Array.from({ length: 9 }, () => split.split('traces', { values }, ROOMY));
    for (const call of calls) {
      const result = await call;
      hash.xxh64(new Uint8Array(100_000).fill(7));
      ring.assign([{ shard: 1, weight: 1 }], 160, 18);
      split.setRouting('logs', routingWith({ selector: { kind: 'resource' } }));
      expect(result.outputs.every(({ value }, index) => expected[index]!.equals(value))).toBe(true);
      expect(result.outputs).toHaveLength(expected.length);
      result.release();
    }
  });

  it('routes calls that follow each other by the routing that each was given', async () => {
    const values = createCorpus({ seed: 58, signal: 'traces', itemsPerRequest: 50 }).requests(4);
    const all = (shard: number) => routingWith({ slots: new Uint16Array(65_536).fill(shard) });
    const [three, nine] = [all(3), all(9)];
    split.setRouting('traces', three);
    const order = [three, nine, undefined, three, nine, nine, three];
    const results = await Promise.all(order.map((routing) => split.split('traces', { values }, ROOMY, routing)));
    expect(results.map(({ outputs }) => outputs.map(({ shard }) => shard))).toEqual(
      [3, 9, 9, 3, 9, 9, 3].map((shard) => [shard]),
    );
    for (const result of results) result.release();
  });
});
