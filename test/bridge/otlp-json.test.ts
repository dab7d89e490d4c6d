import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { otlpJsonToProtobuf } from '../../src/bridge/otlp-json.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';
import type { Signal } from '../../src/signals.ts';
import { decodeItems } from '../support/otlp-schema.ts';

const MAX_BYTES = 1_000_000;

function convert(signal: Signal, json: unknown): Uint8Array {
  const text = typeof json === 'string' ? json : JSON.stringify(json);
  const outcome = otlpJsonToProtobuf(signal, Buffer.from(text), MAX_BYTES);
  if (outcome.kind !== 'converted') throw new Error(JSON.stringify(outcome));
  return outcome.body;
}

/** What an independent decoder reads from the converted document: [resource, scope, item] of each item. */
const decoded = (signal: Signal, json: unknown) =>
  decodeItems(signal, convert(signal, json)).map(({ resource, scope, item }) => ({
    resource: JSON.parse(resource),
    scope: JSON.parse(scope),
    item: JSON.parse(item),
  }));

const spanOf = (span: unknown) => ({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });
const logOf = (record: unknown) => ({ resourceLogs: [{ scopeLogs: [{ logRecords: [record] }] }] });
const metricOf = (metric: unknown) => ({ resourceMetrics: [{ scopeMetrics: [{ metrics: [metric] }] }] });
const decodedSpan = (span: unknown) => decoded('traces', spanOf(span))[0]!.item;
const decodedMetric = (metric: unknown) => decoded('metrics', metricOf(metric))[0]!.item;
/** As JSON text, for what JSON.stringify cannot write. */
const withBody = (anyValue: string) => `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":${anyValue}}]}]}]}`;
const decodedBody = (anyValue: string) => decoded('logs', withBody(anyValue))[0]!.item.body;

function fault(signal: Signal, json: unknown): string {
  const text = typeof json === 'string' ? json : JSON.stringify(json);
  const outcome = otlpJsonToProtobuf(signal, Buffer.from(text), MAX_BYTES);
  return outcome.kind === 'malformed' ? outcome.reason : outcome.kind;
}

const base64 = (...bytes: number[]) => Buffer.from(bytes).toString('base64');
const base64OfHex = (hex: string) => Buffer.from(hex, 'hex').toString('base64');
const TRACE_ID = '5b8efff798038103d269b633813fc60c';
const SPAN_ID = 'eee19b7ec3c1b174';
const attribute = { key: 'k', value: { stringValue: 'v' } };

describe('every field of the schema', () => {
  it('is converted for traces', () => {
    const [span] = decoded('traces', {
      resourceSpans: [
        {
          resource: { attributes: [attribute], droppedAttributesCount: 1 },
          scopeSpans: [
            {
              scope: { name: 'lib', version: '1.0', attributes: [attribute], droppedAttributesCount: 2 },
              spans: [
                {
                  traceId: TRACE_ID.toUpperCase(),
                  spanId: SPAN_ID,
                  traceState: 'a=b',
                  parentSpanId: 'EEE19B7EC3C1B173',
                  flags: 257,
                  name: 'I am a server span',
                  kind: 2,
                  startTimeUnixNano: '1544712660000000001',
                  endTimeUnixNano: '1544712661000000003',
                  attributes: [attribute],
                  droppedAttributesCount: 3,
                  events: [{ timeUnixNano: '7', name: 'e', attributes: [attribute], droppedAttributesCount: 4 }],
                  droppedEventsCount: 5,
                  links: [
                    {
                      traceId: TRACE_ID,
                      spanId: SPAN_ID,
                      traceState: 'c=d',
                      attributes: [attribute],
                      droppedAttributesCount: 6,
                      flags: 256,
                    },
                  ],
                  droppedLinksCount: 7,
                  status: { message: 'bad', code: 2 },
                },
              ],
              schemaUrl: 'scope-schema',
            },
          ],
          schemaUrl: 'resource-schema',
        },
      ],
    });
    expect(span).toEqual({
      resource: { resource: { attributes: [attribute], droppedAttributesCount: 1 }, schemaUrl: 'resource-schema' },
      scope: {
        scope: { name: 'lib', version: '1.0', attributes: [attribute], droppedAttributesCount: 2 },
        schemaUrl: 'scope-schema',
      },
      item: {
        traceId: base64OfHex(TRACE_ID),
        spanId: base64OfHex(SPAN_ID),
        traceState: 'a=b',
        parentSpanId: base64OfHex('eee19b7ec3c1b173'),
        flags: 257,
        name: 'I am a server span',
        kind: 2,
        startTimeUnixNano: '1544712660000000001',
        endTimeUnixNano: '1544712661000000003',
        attributes: [attribute],
        droppedAttributesCount: 3,
        events: [{ timeUnixNano: '7', name: 'e', attributes: [attribute], droppedAttributesCount: 4 }],
        droppedEventsCount: 5,
        links: [
          {
            traceId: base64OfHex(TRACE_ID),
            spanId: base64OfHex(SPAN_ID),
            traceState: 'c=d',
            attributes: [attribute],
            droppedAttributesCount: 6,
            flags: 256,
          },
        ],
        droppedLinksCount: 7,
        status: { message: 'bad', code: 2 },
      },
    });
  });

  it('is converted for logs', () => {
    const record = {
      timeUnixNano: '18446744073709551615',
      observedTimeUnixNano: '1',
      severityNumber: 17,
      severityText: 'ERROR',
      body: { kvlistValue: { values: [{ key: 'a', value: { arrayValue: { values: [{ intValue: '1' }, {}] } } }] } },
      attributes: [attribute, { key: 'raw', value: { bytesValue: base64(0, 255, 7) } }],
      droppedAttributesCount: 1,
      flags: 1,
      traceId: TRACE_ID,
      spanId: SPAN_ID,
      eventName: 'payment',
    };
    expect(decoded('logs', logOf(record))[0]!.item).toEqual({
      ...record,
      traceId: base64OfHex(TRACE_ID),
      spanId: base64OfHex(SPAN_ID),
    });
  });

  const exemplar = {
    timeUnixNano: '3',
    asInt: '-5',
    spanId: SPAN_ID,
    traceId: TRACE_ID,
    filteredAttributes: [attribute],
  };
  const decodedExemplar = { ...exemplar, spanId: base64OfHex(SPAN_ID), traceId: base64OfHex(TRACE_ID) };
  const times = { startTimeUnixNano: '1', timeUnixNano: '2', attributes: [attribute], flags: 1 };

  it.each<
    [string, { dataPoints: Array<Record<string, unknown>>; aggregationTemporality?: number; isMonotonic?: boolean }]
  >([
    [
      'gauge',
      {
        dataPoints: [
          { ...times, asDouble: -0.5, exemplars: [exemplar] },
          { ...times, asInt: '1' },
        ],
      },
    ],
    [
      'sum',
      { dataPoints: [{ ...times, asInt: '-9223372036854775808' }], aggregationTemporality: 2, isMonotonic: true },
    ],
    [
      'histogram',
      {
        dataPoints: [
          {
            ...times,
            count: '3',
            sum: 2,
            bucketCounts: ['0', '3', '18446744073709551615'],
            explicitBounds: [0, 10.5],
            exemplars: [exemplar],
            min: -1,
            max: 1e300,
          },
        ],
        aggregationTemporality: 1,
      },
    ],
    [
      'exponentialHistogram',
      {
        dataPoints: [
          {
            ...times,
            count: '4',
            sum: 1.5,
            scale: -10,
            zeroCount: '1',
            positive: { offset: -2147483648, bucketCounts: ['1', '18446744073709551615', '0', '300'] },
            negative: { offset: 2147483647, bucketCounts: ['2'] },
            exemplars: [exemplar],
            min: -1,
            max: 1,
            zeroThreshold: 0.25,
          },
        ],
        aggregationTemporality: 2,
      },
    ],
    [
      'summary',
      {
        dataPoints: [
          { ...times, count: '2', sum: 7.5, quantileValues: [{ quantile: 0.5, value: 3 }, { quantile: 1 }] },
        ],
      },
    ],
  ])('is converted for metrics of type %s', (kind, body) => {
    const metric = { name: 'm', description: 'd', unit: 'By', metadata: [attribute], [kind]: body };
    const expected = structuredClone(metric) as Record<string, unknown>;
    for (const point of (expected[kind] as typeof body).dataPoints) {
      if (point.exemplars) point.exemplars = [decodedExemplar];
    }
    expect(decodedMetric(metric)).toEqual(expected);
  });
});

describe('zeros', () => {
  // tag and value, as hex: which of the two the decoder in use does not tell
  it('are written where a field of the message tells absent from zero', () => {
    const point = (fields: string) =>
      Buffer.from(
        convert(
          'metrics',
          `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[${fields}]}}]}]}]}`,
        ),
      ).toString('hex');
    const nothing = point('{}');
    expect(point('{"count":0,"flags":0,"bucketCounts":[],"startTimeUnixNano":"0","attributes":[]}')).toBe(nothing);
    expect(point('{"sum":0,"min":0,"max":0}')).toMatch(/29(00){8}59(00){8}61(00){8}$/);
    expect(Buffer.from(convert('logs', withBody('{"intValue":0}'))).toString('hex')).toMatch(/2a021800$/);
    expect(Buffer.from(convert('logs', withBody('{"boolValue":false}'))).toString('hex')).toMatch(/2a021000$/);
    expect(Buffer.from(convert('logs', withBody('{"stringValue":""}'))).toString('hex')).toMatch(/2a020a00$/);
  });
});

describe('integers', () => {
  it.each(['0', '-0', '9007199254740993', '-9007199254740993', '9223372036854775807', '-9223372036854775808'])(
    'of 64 bits stay exact as number and as string: %s',
    (value) => {
      const expected = { intValue: BigInt(value).toString() };
      expect(decodedBody(`{"intValue":${value}}`)).toEqual(expected);
      expect(decodedBody(`{"intValue":"${value}"}`)).toEqual(expected);
    },
  );

  it('may be written with a fraction of zero or an exponent', () => {
    expect(decodedBody('{"intValue":1.5e3}')).toEqual({ intValue: '1500' });
    expect(decodedBody('{"intValue":"-2.0"}')).toEqual({ intValue: '-2' });
  });

  it.each([
    '9223372036854775808',
    '-9223372036854775809',
    '184467440737095516150',
    '1.5',
    '"12a"',
    '""',
    '" 1"',
    'true',
    '01',
    '+1',
    '-',
  ])('that are none, or out of range, are refused: %s', (value) => {
    expect(fault('logs', withBody(`{"intValue":${value}}`))).toContain('body.intValue, byte');
  });

  it('of 32 bits are held to their range', () => {
    expect(decodedSpan({ flags: 4_294_967_295, droppedEventsCount: '4294967295' })).toEqual({
      flags: 4_294_967_295,
      droppedEventsCount: 4_294_967_295,
    });
    expect(fault('traces', spanOf({ flags: 4_294_967_296 }))).toContain('spans[0].flags');
    expect(fault('traces', spanOf({ droppedEventsCount: -1 }))).toContain('an unsigned 32-bit integer');
    expect(fault('traces', spanOf({ startTimeUnixNano: -1 }))).toContain('an unsigned 64-bit integer');
  });

  it('of an enum may be unknown or negative, but no name', () => {
    expect(decodedSpan({ kind: 77 })).toEqual({ kind: 77 });
    expect(decodedSpan({ kind: -1 })).toEqual({ kind: -1 });
    expect(fault('traces', spanOf({ kind: 'SPAN_KIND_SERVER' }))).toContain('enums are not given by name');
  });
});

describe('doubles', () => {
  it('are numbers, numbers in strings, or the names of what JSON lacks', () => {
    const points = ['1', '-0.25e-3', '"1.5"', '"NaN"', '"Infinity"', '"-Infinity"', '-0'].map(
      (v) => `{"asDouble":${v}}`,
    );
    const json = `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[${points}]}}]}]}]}`;
    const bytes = Buffer.from(convert('metrics', json));
    // JSON cannot show them: by their bits, after the tag of as_double (4 << 3 | 1).
    for (const value of [1, -0.00025, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0]) {
      const expected = Buffer.alloc(9, 0x21);
      expected.writeDoubleLE(value, 1);
      expect(bytes.includes(expected), String(value)).toBe(true);
    }
  });

  it.each(['"nan"', '"1,5"', '"0x10"', 'NaN', '1.', '.5', '1e'])('are refused as %s', (value) => {
    expect(fault('logs', withBody(`{"doubleValue":${value}}`))).toContain('body.doubleValue, byte');
  });
});

describe('strings', () => {
  it('with escapes are resolved, lone surrogates replaced', () => {
    expect(decodedBody(String.raw`{"stringValue":"\"\\\/\b\f\n\r\t\u00e9\ud83d\uded2 \ud800"}`)).toEqual({
      stringValue: '"\\/\b\f\n\r\té🛒 \ufffd',
    });
  });

  it('may have escapes in keys', () => {
    expect(decodedBody(String.raw`{"string\u0056alue":"x"}`)).toEqual({ stringValue: 'x' });
  });

  it.each(['"\u0001"', String.raw`"\x"`, String.raw`"\u12g4"`, '"open'])(
    'that are not JSON are refused: %j',
    (value) => {
      expect(fault('logs', `{"resourceLogs":[{"schemaUrl":${value}}]}`)).toContain('resourceLogs[0].schemaUrl, byte');
    },
  );

  it('that are not UTF-8 are refused', () => {
    const json = Buffer.from('{"resourceLogs":[{"schemaUrl":"?"}]}');
    json[json.indexOf('?')] = 0xff;
    expect(otlpJsonToProtobuf('logs', json, MAX_BYTES)).toEqual({
      kind: 'malformed',
      reason: 'the document is not UTF-8',
    });
  });
});

describe('ids and bytes', () => {
  it('are absent when empty', () => {
    expect(decodedSpan({ parentSpanId: '', name: 'root' })).toEqual({ name: 'root' });
  });

  it.each(['abc', TRACE_ID.slice(2), `${TRACE_ID}00`, `${TRACE_ID.slice(1)}g`])('trace id %s is refused', (traceId) => {
    expect(fault('traces', spanOf({ traceId }))).toContain(
      'resourceSpans[0].scopeSpans[0].spans[0].traceId, byte 54: expected 32 hex digits in a string',
    );
  });

  it.each(['', 'AA==', 'AAA=', 'AAAA', 'AA', '-_8', '+/8='])('base64 %j is decoded', (text) => {
    expect(decodedBody(`{"bytesValue":"${text}"}`)).toEqual({
      bytesValue: Buffer.from(text, 'base64').toString('base64'),
    });
  });

  it.each(['A', 'AA=', 'A===', 'A A=', 'AAAA=', '====', '='])('base64 %j is refused', (text) => {
    expect(fault('logs', withBody(`{"bytesValue":"${text}"}`))).toContain('expected base64');
  });
});

describe('documents', () => {
  it('may hold unknown keys of any kind, which are ignored', () => {
    const unknown = { a: [1, 'x', null, { b: [[], {}] }], c: true, d: false, e: -1.5e9, 'f\n': '"' };
    expect(decodedSpan({ new_field: unknown, name: 'x', later: null })).toEqual({ name: 'x' });
    expect(decodedSpan({ trace_id: TRACE_ID, name: 'snake case is no key of OTLP' })).toEqual({
      name: 'snake case is no key of OTLP',
    });
  });

  it('take null as absent', () => {
    expect(decodedSpan({ name: null, attributes: null, status: null, kind: null, flags: 1 })).toEqual({ flags: 1 });
    expect(convert('traces', { resourceSpans: null })).toHaveLength(0);
  });

  it('that hold nothing become an empty request', () => {
    expect(convert('metrics', ' \r\n\t{ } ')).toHaveLength(0);
    expect(convert('logs', { resourceLogs: [] })).toHaveLength(0);
  });

  it.each<[unknown, string]>([
    ['', 'the document is empty'],
    ['[]', 'the document, byte 0: expected an object, found an array'],
    ['{"resourceSpans":{}}', 'resourceSpans, byte 17: expected an array, found an object'],
    ['{"resourceSpans":[null]}', 'resourceSpans[0], byte 18: expected an object, found null'],
    ['{"resourceSpans":[]} x', 'byte 21: expected the end'],
    ['{"resourceSpans":[],}', 'expected a key in quotes'],
    ['{"resourceSpans":[{},]}', 'resourceSpans[1], byte 21: expected an object'],
    ['{"resourceSpans" []}', 'expected ":"'],
    [
      '{"resourceSpans":[{"scopeSpans":[{"spans":[{},{"name":7}]}]}]}',
      'resourceSpans[0].scopeSpans[0].spans[1].name, byte',
    ],
    ['{"resourceSpans":[],"resourceSpans":[]}', 'only once'],
    [spanOf({ attributes: [{ key: 'a', value: { stringValue: 'x', intValue: 1 } }] }), 'attributes[0].value.intValue'],
    ['{"x":tru}', 'expected a value'],
  ])('that are malformed say where: %j', (json, reason) => {
    expect(fault('traces', json)).toContain(reason);
  });

  it('never have their content quoted in the reason', () => {
    expect(fault('traces', spanOf({ name: 'secret', traceId: 'secret' }))).not.toContain('secret');
  });

  it('are refused when they are nested too deeply, known or unknown', () => {
    const deep = (levels: number) => {
      let value = '{"stringValue":"x"}';
      for (let level = 0; level < levels; level++) value = `{"arrayValue":{"values":[${value}]}}`;
      return value;
    };
    expect(convert('logs', withBody(deep(40))).length).toBeGreaterThan(0);
    expect(fault('logs', withBody(deep(10_000)))).toContain('at most 100 messages within each other');
    expect(fault('logs', `{"x":${'['.repeat(100_000)}`)).toContain('expected less nesting');
  });

  it('are refused when the protobuf outgrows the limit, though the JSON does not', () => {
    const explicitBounds = '0,'.repeat(5_000).slice(0, -1);
    const json = `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"explicitBounds":[${explicitBounds}]}]}}]}]}]}`;
    expect(otlpJsonToProtobuf('metrics', Buffer.from(json), json.length).kind).toBe('too-large');
    const outcome = otlpJsonToProtobuf('metrics', Buffer.from(json), 50_000);
    expect(outcome.kind === 'converted' && outcome.body.length).toBeGreaterThan(40_000);
  });

  it('convert alike whatever lengths earlier documents had', () => {
    // The converter guesses length prefixes from the last message of the kind: no guess may show.
    const lengths = [0, 1, 126, 127, 128, 16_383, 16_384, 70_000, 1];
    for (const before of lengths) {
      for (const length of lengths) {
        convert('traces', spanOf({ name: 'y'.repeat(before) }));
        expect(decodedSpan({ name: 'x'.repeat(length), flags: 1 })).toEqual(
          length === 0 ? { flags: 1 } : { name: 'x'.repeat(length), flags: 1 },
        );
      }
    }
  });
});

/** An AnyValue as JSON may write it, with what a decoder must read. */
type Pair = { json: unknown; read: unknown };
const anyValue: fc.Arbitrary<Pair> = fc.letrec<{ value: Pair; keyValue: Pair }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.string({ unit: 'grapheme' }).map((v) => ({ json: { stringValue: v }, read: { stringValue: v } })),
    fc.boolean().map((v) => ({ json: { boolValue: v }, read: { boolValue: v } })),
    fc
      .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
      .map((v) => ({ json: { intValue: String(v) }, read: { intValue: String(v) } })),
    fc
      .double({ noNaN: true, noDefaultInfinity: true })
      .filter((v) => !Object.is(v, -0))
      .map((v) => ({ json: { doubleValue: v }, read: { doubleValue: v } })),
    fc.uint8Array().map((v) => {
      const text = Buffer.from(v).toString('base64');
      return { json: { bytesValue: text }, read: { bytesValue: text } };
    }),
    fc.constant({ json: {}, read: {} }),
    fc.array(tie('value'), { maxLength: 3 }).map((v) => ({
      json: { arrayValue: { values: v.map(({ json }) => json) } },
      read: { arrayValue: v.length ? { values: v.map(({ read }) => read) } : {} },
    })),
    fc.array(tie('keyValue'), { maxLength: 3 }).map((v) => ({
      json: { kvlistValue: { values: v.map(({ json }) => json) } },
      read: { kvlistValue: v.length ? { values: v.map(({ read }) => read) } : {} },
    })),
  ),
  keyValue: fc.tuple(fc.string({ minLength: 1 }), tie('value')).map(([key, value]) => ({
    json: { key, value: value.json },
    read: { key, value: value.read },
  })),
})).value;

describe('any value', () => {
  it('is read by an independent decoder as it was written, compact or indented', () => {
    fc.assert(
      fc.property(anyValue, fc.boolean(), ({ json, read }, indented) => {
        const text = JSON.stringify(logOf({ body: json }), null, indented ? 2 : 0);
        expect(decoded('logs', text)[0]!.item).toEqual({ body: read });
      }),
      { numRuns: 300 },
    );
  });

  it('becomes a request that the kernel finds valid, without being asked', async () => {
    const kernel = createReferenceSplit();
    await fc.assert(
      fc.asyncProperty(anyValue, async ({ json }) => {
        const body = convert('logs', logOf({ body: json, attributes: [{ key: 'k', value: json }], traceId: TRACE_ID }));
        expect(await kernel.validate('logs', body)).toMatchObject({ kind: 'valid', counts: { items: 1 } });
      }),
      { numRuns: 200 },
    );
    // As deep as a document may be.
    let deepest = '{"stringValue":"x"}';
    let converted = convert('logs', withBody(deepest));
    for (;;) {
      deepest = `{"arrayValue":{"values":[${deepest}]}}`;
      const outcome = otlpJsonToProtobuf('logs', Buffer.from(withBody(deepest)), MAX_BYTES);
      if (outcome.kind !== 'converted') break;
      converted = outcome.body;
    }
    expect(await kernel.validate('logs', converted)).toMatchObject({ kind: 'valid' });
  });

  it('cut anywhere is malformed, and damaged anywhere never throws', () => {
    fc.assert(
      fc.property(
        anyValue,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        ({ json }, damage) => {
          const bytes = Buffer.from(JSON.stringify(logOf({ body: json, traceId: TRACE_ID, timeUnixNano: 5 })));
          for (let length = 0; length < bytes.length; length++) {
            expect(otlpJsonToProtobuf('logs', bytes.subarray(0, length), MAX_BYTES).kind).toBe('malformed');
          }
          for (const [at, byte] of damage) bytes[at % bytes.length] = byte;
          const outcome = otlpJsonToProtobuf('logs', bytes, MAX_BYTES);
          if (outcome.kind === 'converted') decodeItems('logs', outcome.body);
          else expect(outcome.kind).toBe('malformed');
        },
      ),
      { numRuns: 200 },
    );
  });
});
