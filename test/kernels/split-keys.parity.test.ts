/** Which keys bring the load, by samples of the item bytes, and what they say: on every split kernel. */
import { describe, expect, it } from 'vitest';
import { xxh64 } from '../../src/kernels/hash/reference.ts';
import { KEY_STRIDE_BYTES, type KeySelector, MAX_KEY_SAMPLES, NAMED_EVERY } from '../../src/kernels/split/kernel.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import type { Signal } from '../../src/signals.ts';
import * as otlp from '../support/otlp-pieces.ts';
import { ROOMY, routingWith, splitWithAll } from '../support/split-agreement.ts';

const { concat, double, hex, item, len, resource, resourceX, scope, span, text, traceId, varint } = otlp;
const utf8 = (value: string) => new TextEncoder().encode(value);
/** So large an item cannot be missed: a byte is drawn in each stride. */
const LARGE = text(5, 'x'.repeat(2 * KEY_STRIDE_BYTES));

async function samplesOf(request: Uint8Array, selector: KeySelector, signal: Signal = 'traces', overridden = false) {
  const plain = await splitWithAll(signal, { values: [request] }, ROOMY, routingWith({ selector }));
  expect(plain.statuses).toEqual(['ok']);
  const { keySamples } = plain.aggregates;
  if (!overridden) return keySamples;
  const overrides = new Map([[keySamples.hashes[0]!, 3]]);
  return (await splitWithAll(signal, { values: [request] }, ROOMY, routingWith({ selector, overrides }))).aggregates
    .keySamples;
}

/** The text of the only key that is sampled. */
async function nameOf(request: Uint8Array, selector: KeySelector, signal: Signal = 'traces'): Promise<string> {
  const { hashes, names } = await samplesOf(request, selector, signal);
  expect(new Set(hashes).size).toBe(1);
  expect(names.map(({ hash }) => hash)).toEqual([hashes[0]]);
  return names[0]!.text;
}

describe('key samples', () => {
  it('show each key in proportion to its bytes, whatever the request sizes', async () => {
    const seen = new Map<bigint, number>();
    let [sampled, itemBytes] = [0, 0];
    const corpus = createCorpus({ seed: 90, signal: 'traces', itemsPerRequest: 100 });
    const heavy = resourceX(resource({ 'service.name': 'heavy' }), scope(span(1, 1, text(5, 'x'.repeat(20_000)))));
    for (let poll = 0; poll < 40; poll++) {
      const values = [...corpus.requests(2), heavy];
      const { aggregates } = await splitWithAll('traces', { values }, ROOMY, SERVICES);
      itemBytes += aggregates.bytes;
      aggregates.keySamples.hashes.forEach((hash, i) => {
        seen.set(hash, (seen.get(hash) ?? 0) + aggregates.keySamples.bytes[i]!);
        sampled += aggregates.keySamples.bytes[i]!;
      });
    }
    expect(sampled / itemBytes).toBeCloseTo(1, 1);
    const share = seen.get(xxh64(utf8('heavy')))! / sampled;
    expect(share).toBeCloseTo((40 * 20_000) / itemBytes, 1);
    expect(seen.size).toBeGreaterThan(10);
  });

  it('take an item once, for all bytes drawn in it, and an overridden one, too', async () => {
    const request = resourceX(scope(span(7, 1, text(5, 'x'.repeat(10 * KEY_STRIDE_BYTES)))));
    const { hashes, bytes } = await samplesOf(request, { kind: 'trace_id' }, 'traces', true);
    expect([...hashes]).toEqual([xxh64(traceId(7))]);
    expect(bytes[0]! / KEY_STRIDE_BYTES).toBeOneOf([10, 11]);
  });

  it('are bounded, and those beyond are left out', async () => {
    const spans = Array.from({ length: MAX_KEY_SAMPLES + 10 }, (_, id) => span(id % 200, id % 250, LARGE));
    const { aggregates } = await splitWithAll('traces', { values: [resourceX(scope(...spans))] });
    expect(aggregates.keySamples.hashes).toHaveLength(MAX_KEY_SAMPLES);
    expect(aggregates.keySamples.names).toHaveLength(MAX_KEY_SAMPLES / NAMED_EVERY);
  });

  it('leave a refused record out', async () => {
    const broken = concat(resourceX(scope(span(7, 1, LARGE))), hex('0a'));
    const { statuses, aggregates } = await splitWithAll('traces', { values: [broken] });
    expect(statuses).toEqual(['malformed']);
    expect(aggregates.keySamples.hashes).toHaveLength(0);
  });
});

const SERVICES = routingWith({ selector: { kind: 'service.name' } });
const NO_TRACE = item(LARGE);

describe('the name of a key', () => {
  it('is the trace id in hex digits, the last one where there are several', async () => {
    const twice = item(len(1, traceId(8)), LARGE, len(1, traceId(9)));
    expect(await nameOf(resourceX(scope(twice)), { kind: 'trace_id' })).toBe(`trace_id=${'09'.repeat(16)}`);
    const log = item(len(5, text(1, 'x'.repeat(2 * KEY_STRIDE_BYTES))), len(9, traceId(10)));
    expect(await nameOf(resourceX(scope(log)), { kind: 'trace_id' }, 'logs')).toBe(`trace_id=${'0a'.repeat(16)}`);
  });

  it('is that of what an item without the key goes by', async () => {
    const named = resourceX(resource({ 'service.name': 'checkout', 'service.instance.id': 'a-1' }), scope(NO_TRACE));
    expect(await nameOf(named, { kind: 'trace_id' })).toBe('service.name=checkout');
    expect(await nameOf(named, { kind: 'metric.name' })).toBe('service.name=checkout');
    expect(await nameOf(named, { kind: 'resource' })).toBe(
      'resource of service.name=checkout, service.instance.id=a-1',
    );
    const nameless = resourceX(scope(NO_TRACE), resource({ 'host.name': 'h' }));
    expect(await nameOf(nameless, { kind: 'trace_id' })).toBe('a resource without service.name');
  });

  it('is that of an attribute, of whatever kind', async () => {
    const http = { kind: 'item-attribute', name: 'http.route' } as const;
    const ofSpan = (value: string | number | boolean) =>
      resourceX(resource({ 'http.route': 'no' }), scope(item(len(9, keyValueFields('http.route', value)), LARGE)));
    expect(await nameOf(ofSpan('/cart'), http)).toBe('item:http.route=/cart');
    expect(await nameOf(ofSpan(-7), http)).toBe('item:http.route=-7');
    expect(await nameOf(ofSpan(true), http)).toBe('item:http.route=true');
    expect(await nameOf(ofSpan(0.25), http)).toBe('item:http.route=0.25');
    const log = item(len(6, keyValueFields('http.route', '/log')), len(5, text(1, 'x'.repeat(2 * KEY_STRIDE_BYTES))));
    expect(await nameOf(resourceX(scope(log)), http, 'logs')).toBe('item:http.route=/log');
    const host = { kind: 'resource-attribute', name: 'host.name' } as const;
    const late = resourceX(scope(NO_TRACE), resource({ 'host.name': 'web-7', 'service.name': 'a' }));
    expect(await nameOf(late, host)).toBe('resource:host.name=web-7');
    expect(await nameOf(late, { kind: 'resource-attribute', name: 'zone' })).toBe('service.name=a');
    const metric = item(text(1, 'http.server.duration'), text(2, 'x'.repeat(2 * KEY_STRIDE_BYTES)));
    expect(await nameOf(resourceX(scope(metric)), { kind: 'metric.name' }, 'metrics')).toBe(
      'metric.name=http.server.duration',
    );
  });

  it('shows 64 bytes at most, whole characters of them, in one line', async () => {
    const service = (name: string) => resourceX(resource({ 'service.name': name }), scope(NO_TRACE));
    const named = (name: string) => nameOf(service(name), { kind: 'service.name' });
    expect(await named('a'.repeat(64))).toBe(`service.name=${'a'.repeat(64)}`);
    expect(await named('a'.repeat(65))).toBe(`service.name=${'a'.repeat(64)}…`);
    expect(await named(`${'a'.repeat(63)}ü`)).toBe(`service.name=${'a'.repeat(63)}…`);
    expect(await named('a\n\u001b[2Jb')).toBe('service.name=a\ufffd\ufffd[2Jb');
    const bad = len(1, text(1, 'service.name'), len(2, len(1, hex('ff fe'))));
    expect(await nameOf(resourceX(len(1, bad), scope(NO_TRACE)), { kind: 'service.name' })).toBe('service.name=0xfffe');
  });
});

/** The fields of a KeyValue. */
function keyValueFields(key: string, value: string | number | boolean): Uint8Array {
  if (typeof value === 'boolean') return concat(text(1, key), len(2, varint(2, value ? 1 : 0)));
  if (typeof value === 'number' && !Number.isInteger(value)) return concat(text(1, key), len(2, double(4, value)));
  if (typeof value === 'number') return concat(text(1, key), len(2, varint(3, BigInt.asUintN(64, BigInt(value)))));
  return concat(text(1, key), len(2, text(1, value)));
}
