import { describe, expect, it } from 'vitest';
import { createCorpus, spanIdOf } from '../../src/loadgen/corpus.ts';
import { SIGNALS } from '../../src/signals.ts';
import { asMultiset, type DecodedItem, decodeItems } from '../support/otlp-schema.ts';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytesAnItem = (requests: Uint8Array[], items: number) =>
  requests.reduce((sum, request) => sum + request.length, 0) / items;

interface Span {
  parentSpanId?: unknown;
  attributes?: unknown[];
  events?: unknown[];
  links?: unknown[];
  status?: { code?: number };
}

function spans(count: number): { items: DecodedItem[]; spans: Span[] } {
  const corpus = createCorpus({ seed: 7, signal: 'traces', itemsPerRequest: 512 });
  const items = corpus.requests(Math.ceil(count / 512)).flatMap((request) => decodeItems('traces', request));
  return { items, spans: items.map(({ item }) => JSON.parse(item) as Span) };
}

const shareOf = (spans: Span[], is: (span: Span) => boolean) => spans.filter(is).length / spans.length;

describe.each(SIGNALS)('corpus of %s', (signal) => {
  it('is the same for the same seed and another for another', () => {
    const [one, again, other] = [1, 1, 2].map((seed) =>
      createCorpus({ seed, signal, itemsPerRequest: 50 }).requests(3).map(hexOf),
    );
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
  });

  it.each([1, 10, 100, 700])(
    'makes requests of exactly %i items that an independent decoder reads',
    (itemsPerRequest) => {
      const corpus = createCorpus({ seed: 3, signal, itemsPerRequest });
      for (const request of corpus.requests(4)) expect(decodeItems(signal, request)).toHaveLength(itemsPerRequest);
      expect(corpus.nextItem).toBe(4 * itemsPerRequest);
    },
  );

  it('never makes the same item twice', () => {
    const requests = createCorpus({ seed: 5, signal, itemsPerRequest: 100 }).requests(20);
    const items = asMultiset(requests.flatMap((request) => decodeItems(signal, request)));
    expect(new Set(items).size).toBe(items.length);
  });

  it('sends at the time that it is given', () => {
    const nowUnixNano = 1_900_000_000_000_000_000n;
    const [request] = createCorpus({ seed: 1, signal, itemsPerRequest: 1, nowUnixNano: () => nowUnixNano }).requests(1);
    expect(decodeItems(signal, request!)[0]!.item).toContain('"18999999999');
  });
});

describe('corpus of spans', () => {
  it.each([
    [10, 400, 500],
    [100, 410, 440],
    [512, 410, 440],
  ])('takes about 425 bytes a span at %i a request', (itemsPerRequest, least, most) => {
    const requests = createCorpus({ seed: 11, signal: 'traces', itemsPerRequest }).requests(20_000 / itemsPerRequest);
    const bytes = bytesAnItem(requests, Math.floor(20_000 / itemsPerRequest) * itemsPerRequest);
    expect(bytes).toBeGreaterThan(least);
    expect(bytes).toBeLessThan(most);
  });

  it('has the shares of parents, events, links and errors that it promises', () => {
    const { spans: all } = spans(20_000);
    expect(shareOf(all, (span) => span.parentSpanId !== undefined)).toBeCloseTo(0.8, 2);
    expect(shareOf(all, (span) => span.events !== undefined)).toBeCloseTo(0.15, 2);
    expect(shareOf(all, (span) => span.links !== undefined)).toBeCloseTo(0.05, 2);
    expect(shareOf(all, (span) => span.status?.code === 2)).toBeCloseTo(0.06, 2);
    for (const span of all) {
      expect(span.attributes!.length).toBeGreaterThanOrEqual(6);
      expect(span.attributes!.length).toBeLessThanOrEqual(10);
    }
  });

  it('has traces of 1 to 5 spans whose spans are never far apart', () => {
    const { items } = spans(10_000);
    const places = new Map<string, number[]>();
    for (const [index, { traceId }] of items.entries()) places.set(traceId, [...(places.get(traceId) ?? []), index]);
    const lengths = [...places.values()].map((indexes) => indexes.length);
    expect(Math.max(...lengths)).toBe(5);
    expect(lengths.reduce((sum, length) => sum + length, 0) / lengths.length).toBeCloseTo(3, 0);
    const interleaved = [...places.values()].filter((at) => at.at(-1)! - at[0]! >= at.length).length;
    expect(interleaved).toBeGreaterThan(lengths.length / 3);
  });

  it('comes from 48 services on 200 hosts, with 8 attributes a resource', () => {
    const corpus = createCorpus({ seed: 7, signal: 'traces', itemsPerRequest: 2_000, shape: { itemsPerResource: 1 } });
    const items = decodeItems('traces', corpus.next());
    const resources = [...new Set(items.map(({ resource }) => resource))].map(
      (text) => JSON.parse(text).resource.attributes as Array<{ key: string; value: { stringValue: string } }>,
    );
    const named = (key: string) =>
      new Set(resources.map((attributes) => attributes.find((attribute) => attribute.key === key)!.value.stringValue));
    expect(named('service.name').size).toBe(48);
    expect(named('host.name').size).toBeGreaterThan(150);
    expect(named('host.name').size).toBeLessThanOrEqual(200);
    expect(named('service.instance.id').size).toBe(named('host.name').size);
    for (const attributes of resources) expect(attributes).toHaveLength(8);
  });

  it('numbers its spans: the id of span n is spanIdOf(seed, n), also where it goes on from another corpus', () => {
    const request = createCorpus({ seed: 9, signal: 'traces', itemsPerRequest: 20, firstItem: 1_000 }).next();
    const ids = decodeItems('traces', request).map(({ spanId }) => spanId);
    expect(ids).toEqual(Array.from({ length: 20 }, (_, n) => hexOf(spanIdOf(9, 1_000 + n))));
  });

  it('skews the load towards the first services when told to', () => {
    const corpus = createCorpus({
      seed: 4,
      signal: 'traces',
      itemsPerRequest: 1,
      services: 8,
      shape: { serviceSkew: 1.2, hosts: 16 },
    });
    const sent = new Map<string, number>();
    for (const request of corpus.requests(4_000)) {
      const { resource } = decodeItems('traces', request)[0]!;
      const service = JSON.parse(resource).resource.attributes[0].value.stringValue as string;
      sent.set(service, (sent.get(service) ?? 0) + 1);
    }
    expect(sent.get('frontend')! / sent.get('recommendation')!).toBeGreaterThan(6);
    expect(sent.size).toBe(8);
  });
});

describe('spanIdOf', () => {
  it('is unique and never zero', () => {
    const ids = new Set<string>();
    for (let n = 0; n < 300_000; n++) ids.add(hexOf(spanIdOf(42, n)));
    expect(ids.size).toBe(300_000);
    expect(ids.has('0000000000000000')).toBe(false);
  });
});
