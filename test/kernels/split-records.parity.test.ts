/** What a record must be: each clause of the accept/reject rule, on every split kernel. */
import { describe, expect, it } from 'vitest';
import { CALL_BOUNDS, type RequestFault } from '../../src/kernels/split/kernel.ts';
import type { Signal } from '../../src/signals.ts';
import { KERNEL_TWINS } from '../support/kernel-twins.ts';
import * as otlp from '../support/otlp-pieces.ts';
import { asMultiset, decodeItems, differenceOf, verdictOf } from '../support/otlp-schema.ts';
import { paddedVarint } from '../support/otlp-tree.ts';
import { ROOMY, splitWithAll } from '../support/split-agreement.ts';

const { concat, fixed32, fixed64, hex, item, keyValue, len, resource, resourceX, scope, span, text, varint } = otlp;

const GOOD = resourceX(resource({ 'service.name': 'cart' }), scope(span(1, 1), span(2, 2)));
const GOOD_ITEMS: Readonly<Record<Signal, Uint8Array>> = {
  traces: span(1, 1),
  metrics: item(text(1, 'app.orders')),
  logs: item(varint(2, 9), len(9, otlp.traceId(1))),
};

/** Puts fields at each level that the kernels walk, before and behind what else is there, in a request that is good otherwise. */
type Level = (signal: Signal, before: Uint8Array, behind: Uint8Array) => Uint8Array;
const LEVELS: Readonly<Record<string, Level>> = {
  request: (signal, before, behind) => concat(before, resourceX(scope(GOOD_ITEMS[signal])), behind),
  ResourceX: (signal, before, behind) => resourceX(before, scope(GOOD_ITEMS[signal]), behind),
  Resource: (signal, before, behind) => resourceX(len(1, before, keyValue('k', 1), behind), scope(GOOD_ITEMS[signal])),
  KeyValue: (signal, before, behind) =>
    resourceX(len(1, len(1, before, text(1, 'k'), behind)), scope(GOOD_ITEMS[signal])),
  AnyValue: (signal, before, behind) =>
    resourceX(len(1, len(1, text(1, 'k'), len(2, before, text(1, 'v'), behind))), scope(GOOD_ITEMS[signal])),
  ScopeX: (signal, before, behind) => resourceX(scope(before, GOOD_ITEMS[signal], behind)),
  item: (_signal, before, behind) => resourceX(scope(item(before, text(30, 'more'), behind))),
};
const NOTHING = hex('');

const WELL_FORMED: ReadonlyArray<readonly [string, Uint8Array]> = [
  ['nothing', hex('')],
  ['an unknown varint', varint(50, 7)],
  ['an unknown 64-bit field', fixed64(50, 7n)],
  ['an unknown 32-bit field', fixed32(50, 7)],
  ['an unknown LEN field', text(50, 'hello')],
  ['an empty LEN field', text(50, '')],
  ['the highest field number', varint(536_870_911, 1)],
  ['a tag of 5 bytes', concat(paddedVarint(50n << 3n, 3), hex('07'))],
  ['a length of 5 bytes', concat(paddedVarint((50n << 3n) | 2n, 0), paddedVarint(3n, 4), hex('616263'))],
  ['a varint of 10 bytes, all bits set', hex('90 03 ffffffffffffffffff 7f')],
  ['known fields with the wrong wire type', concat(...[1, 2, 3, 6, 7, 8, 9, 15].map((number) => fixed32(number, 1)))],
];

const BROKEN: ReadonlyArray<readonly [string, Uint8Array]> = [
  ['field number 0', hex('00 01')],
  ['field number 0 of 5 bytes', hex('8280808000 00')],
  ['field number 2^29', hex('80 80 80 80 10 01')],
  ['a tag of 2^64, which is 0 in 64 bits', hex('90838080808080808002 07')],
  ['a tag of 6 bytes', concat(paddedVarint(50n << 3n, 4), hex('07'))],
  ['a tag that is cut off', hex('90')],
  ['a tag without a value', hex('90 03')],
  ['a varint that is cut off', hex('90 03 80')],
  ['a varint of 11 bytes', hex('90 03 80808080808080808080 01')],
  ['a 64-bit field of 7 bytes', hex('91 03 01020304050607')],
  ['a 32-bit field of 3 bytes', hex('95 03 010203')],
  ['a LEN field without a length', hex('92 03')],
  ['a LEN field whose length is cut off', hex('92 03 80')],
  ['a LEN field that is a byte short', hex('92 03 04 010203')],
  ['a length of 2^31 - 1', hex('92 03 ffffffff07')],
  ['a length of 2^31', hex('92 03 8080808008')],
  ['a length of 2^32, which is 0 in 32 bits', hex('92 03 8080808010')],
  ['a length of 2^64, which is 0 in 64 bits', hex('92 03 80808080808080808002')],
  ['a length of 6 bytes', concat(hex('92 03'), paddedVarint(3n, 5), hex('616263'))],
  ['a group', hex('93 03 94 03')],
  ['the end of a group', hex('94 03')],
  ['wire type 6', hex('96 03')],
  ['wire type 7', hex('97 03')],
];

describe.each(['traces', 'metrics', 'logs'] as const)('a record of %s', (signal) => {
  describe.each(Object.keys(LEVELS))('with, in its %s,', (level) => {
    it.each(WELL_FORMED)('%s: is taken, and its item comes out unchanged', async (_name, extra) => {
      const request = LEVELS[level]!(signal, extra, NOTHING);
      const answer = await splitWithAll(signal, { values: [request] });
      expect(answer.statuses).toEqual(['ok']);
      expect(answer.outputs).toHaveLength(1);
      expect(answer.outputs[0]!.value.toString('hex')).toBe(Buffer.from(request).toString('hex'));
    });

    it.each(WELL_FORMED)(
      '%s, last: is taken, and stands before the resources, scopes or items of its parent',
      async (_name, extra) => {
        const answer = await splitWithAll(signal, { values: [LEVELS[level]!(signal, NOTHING, extra)] });
        expect(answer.statuses).toEqual(['ok']);
        const moves = ['request', 'ResourceX', 'ScopeX'].includes(level);
        const expected = moves ? LEVELS[level]!(signal, extra, NOTHING) : LEVELS[level]!(signal, NOTHING, extra);
        expect(answer.outputs[0]!.value.toString('hex')).toBe(Buffer.from(expected).toString('hex'));
      },
    );

    it.each(BROKEN)('%s: is malformed, and leaves no trace beside good ones', async (_name, extra) => {
      const good = LEVELS.request!(signal, NOTHING, NOTHING);
      const bad = LEVELS[level]!(signal, NOTHING, extra);
      const answer = await splitWithAll(signal, { values: [good, bad, good] });
      expect(answer.statuses).toEqual(['ok', 'malformed', 'ok']);
      const alone = await splitWithAll(signal, { values: [good, good] });
      expect(answer.outputs).toEqual(alone.outputs);
      expect(answer.aggregates).toEqual(alone.aggregates);
    });
  });

  it('of random bytes, of text, or of one byte is malformed', async () => {
    const values = [hex('ff'), hex('0a'), new TextEncoder().encode('{"resourceSpans":[]}'), hex('deadbeef0badf00d')];
    const answer = await splitWithAll(signal, { values });
    expect(answer.statuses).toEqual(['malformed', 'malformed', 'malformed', 'malformed']);
    expect(answer.outputs).toEqual([]);
  });

  it('is null_value where it has no value, and ok where that is empty', async () => {
    const answer = await splitWithAll(signal, { values: [null, new Uint8Array(0), null] });
    expect(answer).toMatchObject({ taken: 3, statuses: ['null_value', 'ok', 'null_value'], outputs: [] });
  });

  it('without an item is ok and vanishes: empty resources, scopes without items, top-level fields that are not resources', async () => {
    const values = [resourceX(), resourceX(resource({ a: 1 })), resourceX(scope()), resourceX(scope(text(3, 'url')))];
    const answer = await splitWithAll(signal, { values: [...values, concat(text(2, 'x'), varint(1, 4))] });
    expect(answer.statuses).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
    expect(answer.outputs).toEqual([]);
    expect(answer.aggregates).toMatchObject({ items: 0, bytes: 0, shards: [], services: [] });
  });

  it('may have an item of no bytes', async () => {
    const request = resourceX(scope(item()));
    const answer = await splitWithAll(signal, { values: [request] });
    expect(answer.outputs.map(({ value }) => value.toString('hex'))).toEqual([Buffer.from(request).toString('hex')]);
    expect(answer.aggregates).toMatchObject({ items: 1, bytes: 2 });
  });

  it('may hold anything in strings, bytes, and fields that are not known', async () => {
    const text9 = len(1, hex('ff'));
    const request = resourceX(scope(len(1, text9), item(len(40, hex('ff ff ff')))), len(7, hex('ff')));
    const answer = await splitWithAll(signal, { values: [concat(request, len(2, hex('ff')))] });
    expect(answer.statuses).toEqual(['ok']);
  });
});

describe('a span', () => {
  it.each(BROKEN)('whose Status has %s makes its record malformed', async (_name, extra) => {
    const answer = await splitWithAll('traces', { values: [resourceX(scope(item(len(15, extra))))] });
    expect(answer.statuses).toEqual(['malformed']);
  });

  it.each(WELL_FORMED)('whose Status has %s is taken', async (_name, extra) => {
    const answer = await splitWithAll('traces', { values: [resourceX(scope(item(len(15, extra))))] });
    expect(answer.statuses).toEqual(['ok']);
  });
});

/** Each kind of message inside scopes and items, with a field in it; the rest of the request is good. */
const anyOf = (...content: Uint8Array[]) => len(2, ...content);
const attributeOf = (field: number, ...content: Uint8Array[]) => len(field, text(1, 'k'), ...content);
const INSIDE: ReadonlyArray<readonly [string, Signal, (extra: Uint8Array) => Uint8Array]> = [
  ['scope', 'traces', (extra) => scope(len(1, extra), span(1, 1))],
  ["scope's attribute", 'logs', (extra) => scope(len(1, attributeOf(3, extra)), item())],
  ['attribute of a span', 'traces', (extra) => scope(item(attributeOf(9, extra)))],
  ['value of an attribute', 'traces', (extra) => scope(item(attributeOf(9, anyOf(extra))))],
  ['array', 'traces', (extra) => scope(item(attributeOf(9, anyOf(len(5, extra)))))],
  ['value in an array', 'traces', (extra) => scope(item(attributeOf(9, anyOf(len(5, len(1, extra))))))],
  ['map', 'traces', (extra) => scope(item(attributeOf(9, anyOf(len(6, extra)))))],
  ['entry of a map', 'traces', (extra) => scope(item(attributeOf(9, anyOf(len(6, len(1, extra))))))],
  ['event', 'traces', (extra) => scope(item(len(11, text(2, 'e'), extra)))],
  ['attribute of an event', 'traces', (extra) => scope(item(len(11, attributeOf(3, extra))))],
  ['link', 'traces', (extra) => scope(item(len(13, extra)))],
  ['attribute of a link', 'traces', (extra) => scope(item(len(13, attributeOf(4, extra))))],
  ['status', 'traces', (extra) => scope(item(len(15, extra)))],
  ['body', 'logs', (extra) => scope(item(len(5, extra)))],
  ['attribute of a log record', 'logs', (extra) => scope(item(attributeOf(6, extra)))],
  ['gauge', 'metrics', (extra) => scope(item(len(5, extra)))],
  ['sum', 'metrics', (extra) => scope(item(len(7, extra)))],
  ['point of a sum', 'metrics', (extra) => scope(item(len(7, len(1, extra))))],
  ['exemplar', 'metrics', (extra) => scope(item(len(7, len(1, len(5, extra)))))],
  ["exemplar's attribute", 'metrics', (extra) => scope(item(len(7, len(1, len(5, attributeOf(7, extra))))))],
  ['point of a histogram', 'metrics', (extra) => scope(item(len(9, len(1, extra))))],
  ['point of an exponential histogram', 'metrics', (extra) => scope(item(len(10, len(1, extra))))],
  ['buckets', 'metrics', (extra) => scope(item(len(10, len(1, len(8, extra)))))],
  ['point of a summary', 'metrics', (extra) => scope(item(len(11, len(1, extra))))],
  ['quantile', 'metrics', (extra) => scope(item(len(11, len(1, len(6, extra)))))],
  ['metadata of a metric', 'metrics', (extra) => scope(item(attributeOf(12, extra)))],
];

describe.each(INSIDE)('a record with, in a %s of %s,', (_level, signal, around) => {
  it.each(WELL_FORMED)('%s: is taken, and the decoder reads it', async (_name, extra) => {
    const request = resourceX(around(extra));
    const answer = await splitWithAll(signal, { values: [request] });
    expect(answer.statuses).toEqual(['ok']);
    expect(answer.outputs[0]!.value.toString('hex')).toBe(Buffer.from(request).toString('hex'));
    expect(verdictOf(signal, request)).toEqual({ decodes: true, passedOver: false });
  });

  it.each(BROKEN)('%s: is malformed, and the decoder does not read it either', async (_name, extra) => {
    const request = resourceX(around(extra));
    const answer = await splitWithAll(signal, { values: [request] });
    expect(answer.statuses).toEqual(['malformed']);
    const { decodes, passedOver } = verdictOf(signal, request);
    expect(decodes && !passedOver).toBe(false);
  });
});

describe('values inside values', () => {
  /** `depth` messages below the request: 5 are request, ResourceSpans, ScopeSpans, Span and KeyValue with a value. */
  const nestedTo = (depth: number) => {
    let value: Uint8Array = depth % 2 === 0 ? len(5) : hex('');
    for (let at = 5; at + 2 <= depth; at += 2) value = len(5, len(1, value));
    return resourceX(scope(item(attributeOf(9, anyOf(value)))));
  };

  it.each([5, 6, 7, 98, 99, 100])('are taken at %i messages below the request', async (depth) => {
    expect((await splitWithAll('traces', { values: [nestedTo(depth)] })).statuses).toEqual(['ok']);
    expect(verdictOf('traces', nestedTo(depth)).decodes).toBe(true);
  });

  it.each([101, 102, 103, 2_000])('are malformed at %i', async (depth) => {
    expect((await splitWithAll('traces', { values: [nestedTo(depth)] })).statuses).toEqual(['malformed']);
    expect(verdictOf('traces', nestedTo(depth)).decodes).toBe(false);
  });
});

describe('lengths that wrap around 2^32', () => {
  /** 2^32 - `less`, in 5 bytes. */
  const wrapping = (less: number) => paddedVarint(BigInt(2 ** 32 - less), 0);
  const LEVELS_OF_LENGTHS: ReadonlyArray<(length: Uint8Array) => Uint8Array> = [
    (length) => concat(hex('0a'), length),
    (length) => concat(hex('7a'), length),
    (length) => resourceX(concat(hex('12'), length)),
    (length) => resourceX(concat(hex('0a'), length)),
    (length) => resourceX(len(1, concat(hex('0a'), length))),
    (length) => resourceX(scope(concat(hex('12'), length))),
    (length) => resourceX(scope(item(concat(hex('0a'), length)))),
    (length) => resourceX(scope(item(concat(hex('4a'), length)))),
    (length) => resourceX(scope(item(attributeOf(9, concat(hex('12'), length))))),
    (length) => resourceX(scope(item(attributeOf(9, anyOf(concat(hex('0a'), length)))))),
  ];

  it.each(LEVELS_OF_LENGTHS.map((level, index) => [index, level] as const))(
    'are malformed, however far back they lead: level %i',
    async (_index, level) => {
      const bad = Array.from({ length: 300 }, (_, less) => concat(level(wrapping(less + 1)), new Uint8Array(20)));
      const answer = await splitWithAll('traces', { values: [GOOD, ...bad, GOOD] });
      expect(answer.statuses).toEqual(['ok', ...bad.map(() => 'malformed'), 'ok']);
      expect(answer.aggregates.items).toBe(4);
    },
  );
});

describe('packed numbers', () => {
  const counts = (bytes: number) => scope(item(len(9, len(1, len(6, new Uint8Array(bytes))))));
  const offsets = (bytes: string) => scope(item(len(10, len(1, len(8, len(2, hex(bytes)))))));

  it.each([
    ['no counts', counts(0), 'ok'],
    ['two counts', counts(16), 'ok'],
    ['one and a half', counts(12), 'malformed'],
    ['varints', offsets('00 ff01 ffffffffffffffffff01'), 'ok'],
    ['a varint that is cut off', offsets('00 ff'), 'malformed'],
    ['a varint of 11 bytes', offsets('8080808080808080808000'), 'malformed'],
  ])('%s', async (_name, around, status) => {
    const request = resourceX(around);
    expect((await splitWithAll('metrics', { values: [request] })).statuses).toEqual([status]);
    expect(verdictOf('metrics', request).decodes).toBe(status === 'ok');
  });
});

describe.each(KERNEL_TWINS)('validate of the $name kernel', ({ split }) => {
  const FAULTS: ReadonlyArray<readonly [string, Signal, Uint8Array, RequestFault | null]> = [
    ['nothing', 'traces', hex(''), null],
    ['a good request', 'traces', GOOD, null],
    ['a tag of the request', 'traces', concat(GOOD, hex('00')), { at: GOOD.length, reason: 'bad_tag' }],
    ['a length inside', 'traces', hex('0a 06 12 04 12 02 0a 09'), { at: 6, reason: 'bad_length' }],
    ['a group inside', 'metrics', hex('0a 06 12 04 12 02 2a 00 0b'), { at: 8, reason: 'bad_tag' }],
    ['a number inside', 'traces', hex('0a 07 12 05 12 03 39 00 00'), { at: 6, reason: 'bad_value' }],
    ['packed numbers', 'metrics', hex('0a 0b 12 09 12 07 4a 05 0a 03 32 01 00'), { at: 12, reason: 'bad_numbers' }],
  ];

  it.each(FAULTS)('tells of %s where it is, and what', async (_name, signal, request, fault) => {
    const validation = await split.validate(signal, request);
    expect(validation.kind === 'malformed' ? validation.fault : null).toEqual(fault);
  });

  it('counts what a valid request holds, empty occurrences too', async () => {
    const spans = concat(GOOD, text(90, 'beside'), resourceX(scope(span(1, 1)), scope(text(3, 'schema'))), resourceX());
    expect(await split.validate('traces', spans)).toEqual({
      kind: 'valid',
      counts: { resources: 3, scopes: 3, items: 3 },
    });
  });
});

describe('a record that is refused', () => {
  const big = resourceX(resource({ 'service.name': 'big' }), scope(span(3, 3), span(4, 4, text(50, 'x'.repeat(500)))));
  const limits = { ...ROOMY, maxRecordBytes: 300 };

  it('is item_too_large as a whole when one of its items alone does not fit into a shard record', async () => {
    const answer = await splitWithAll('traces', { values: [GOOD, big, GOOD] }, limits);
    expect(answer.statuses).toEqual(['ok', 'item_too_large', 'ok']);
    const alone = await splitWithAll('traces', { values: [GOOD, GOOD] }, limits);
    expect(answer.outputs).toEqual(alone.outputs);
    expect(answer.aggregates).toEqual(alone.aggregates);
  });

  it('is item_too_large when a resource alone does not fit, or the fields of a scope', async () => {
    const wide = 'y'.repeat(400);
    const values = [
      resourceX(resource({ wide }), scope(span(1, 1))),
      resourceX(scope(text(3, wide), span(1, 1))),
      resourceX(resource({ wide }), scope(text(3, wide))),
    ];
    const answer = await splitWithAll('traces', { values }, limits);
    expect(answer.statuses).toEqual(['item_too_large', 'item_too_large', 'ok']);
  });

  it('is item_too_large from the first byte on that the item costs above the limit: frame, envelope + 6, scope + 6', async () => {
    const frame = span(1, 1);
    const envelope = resource({ a: 'b' });
    const scopeFields = text(3, 'url');
    const cost = frame.length + envelope.length + 6 + scopeFields.length + 6;
    const values = [resourceX(envelope, scope(scopeFields, frame))];
    const fits = await splitWithAll('traces', { values }, { ...ROOMY, maxRecordBytes: cost });
    const tooLarge = await splitWithAll('traces', { values }, { ...ROOMY, maxRecordBytes: cost - 1 });
    expect([fits.statuses, tooLarge.statuses]).toEqual([['ok'], ['item_too_large']]);
  });

  it('is malformed rather than too large when it is both', async () => {
    const answer = await splitWithAll('traces', { values: [concat(big, hex('ff'))] }, limits);
    expect(answer.statuses).toEqual(['malformed']);
  });
});

describe('the output bound of a call', () => {
  const request = (id: number) => resourceX(scope(span(id, id, text(50, 'z'.repeat(100)))));
  const cost = request(1).length - 2 - 3 + 12;

  it('ends the call before the record that would cross it', async () => {
    const values = [1, 2, 3, 4].map(request);
    const limits = { ...ROOMY, maxOutputBytes: values.length * (cost + 5) };
    const all = await splitWithAll('traces', { values }, limits);
    expect(all.taken).toBe(4);
    const some = await splitWithAll('traces', { values }, { ...limits, maxOutputBytes: 2 * (cost + 5) });
    expect(some.taken).toBe(2);
    expect(some.statuses).toEqual(['ok', 'ok']);
    expect(some.aggregates.items).toBe(2);
    const rest = await splitWithAll('traces', { values: values.slice(some.taken) }, limits);
    const outputs = [...some.outputs, ...rest.outputs];
    expect(
      differenceOf(
        asMultiset(outputs.flatMap(({ value }) => decodeItems('traces', value))),
        asMultiset(values.flatMap((value) => decodeItems('traces', value))),
      ),
    ).toBeNull();
  });

  it('refuses the first record of a call when that alone crosses it, and goes on', async () => {
    const wide = resourceX(scope(...[1, 2, 3, 4, 5].map((id) => span(id, id, text(50, 'z'.repeat(100))))));
    const limits = { ...ROOMY, maxOutputBytes: 2 * (cost + 5) };
    const answer = await splitWithAll('traces', { values: [wide, request(6), wide, request(7)] }, limits);
    expect(answer).toMatchObject({ taken: 2, statuses: ['output_too_large', 'ok'] });
    expect(answer.aggregates.items).toBe(1);
  });

  it('ends the call before a record that crosses it alone, too, unless that is record 0', async () => {
    const limits = { ...ROOMY, maxOutputBytes: cost - 20 };
    const answer = await splitWithAll('traces', { values: [hex(''), hex('ff'), null, request(1)] }, limits);
    expect(answer).toMatchObject({ taken: 3, statuses: ['ok', 'malformed', 'null_value'] });
  });

  it('is the sum of the costs, to the byte', async () => {
    const frame = span(1, 1);
    const values = [resourceX(scope(frame))];
    const exact = frame.length + 12;
    const fits = await splitWithAll('traces', { values }, { ...ROOMY, maxOutputBytes: exact });
    const crosses = await splitWithAll('traces', { values }, { ...ROOMY, maxOutputBytes: exact - 1 });
    expect([fits.statuses, crosses.statuses]).toEqual([['ok'], ['output_too_large']]);
  });

  it('counts nothing for records that are refused', async () => {
    const limits = { maxRecordBytes: 200, maxOutputBytes: 2 * (cost + 5) };
    const tooLarge = resourceX(scope(span(9, 9, text(50, 'z'.repeat(300)))));
    const answer = await splitWithAll('traces', { values: [request(1), tooLarge, hex('ff'), request(2)] }, limits);
    expect(answer.statuses).toEqual(['ok', 'item_too_large', 'malformed', 'ok']);
  });
});

describe('the item bound of a call', () => {
  const emptyItems = (count: number) => resourceX(scope(new Uint8Array(count * 2).map((_, at) => (at % 2 ? 0 : 0x12))));
  const { items } = CALL_BOUNDS;

  it('refuses a first record with more, takes one with just as many, and ends the call before one that crosses it', async () => {
    const limits = { maxRecordBytes: 4 * 1024 * 1024, maxOutputBytes: ROOMY.maxOutputBytes };
    const tooMany = await splitWithAll('traces', { values: [emptyItems(items + 1), emptyItems(1)] }, limits);
    expect(tooMany.statuses).toEqual(['too_many_items', 'ok']);
    const full = await splitWithAll('traces', { values: [emptyItems(items), emptyItems(1)] }, limits);
    expect(full).toMatchObject({ taken: 1, statuses: ['ok'] });
    expect(full.aggregates.items).toBe(items);
  });

  it('holds for resources and scopes too, empty ones as well', async () => {
    const resources = (count: number) => new Uint8Array(count * 2).map((_, at) => (at % 2 ? 0 : 0x0a));
    const scopes = (count: number) => resourceX(new Uint8Array(count * 2).map((_, at) => (at % 2 ? 0 : 0x12)));
    for (const [many, bound] of [
      [resources, CALL_BOUNDS.resources],
      [scopes, CALL_BOUNDS.scopes],
    ] as const) {
      const refused = await splitWithAll('traces', { values: [many(bound + 1), GOOD] });
      expect(refused.statuses).toEqual(['too_many_items', 'ok']);
      const taken = await splitWithAll('traces', { values: [many(bound), GOOD] });
      expect(taken).toMatchObject({ taken: 1, statuses: ['ok'] });
    }
  });

  it('refuses a first value above the input bound without reading it, and ends the call before another', async () => {
    const huge = new Uint8Array(CALL_BOUNDS.inputBytes + 1);
    expect(await splitWithAll('traces', { values: [huge, GOOD] })).toMatchObject({
      taken: 1,
      statuses: ['output_too_large'],
    });
    expect(await splitWithAll('traces', { values: [GOOD, huge] })).toMatchObject({ taken: 1, statuses: ['ok'] });
  });

  it('holds for records', async () => {
    const values = new Array<Uint8Array>(CALL_BOUNDS.records + 1).fill(hex(''));
    expect((await splitWithAll('traces', { values })).taken).toBe(CALL_BOUNDS.records);
  });
});

describe('groups, null and empty values', () => {
  it('stand side by side: what is not a record of items gives no output to any group', async () => {
    const values = [GOOD, null, hex(''), hex('ff'), GOOD];
    const answer = await splitWithAll('traces', { values, groups: Uint8Array.of(3, 4, 5, 6, 63) });
    expect(answer.statuses).toEqual(['ok', 'null_value', 'ok', 'malformed', 'ok']);
    expect([...new Set(answer.outputs.map(({ group }) => group))]).toEqual([3, 63]);
  });
});
