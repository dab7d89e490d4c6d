import { describe, expect, it } from 'vitest';
import { cutBetweenResources, firstResource, orderHash, withoutLargeItems } from '../../src/bridge/request-frames.ts';
import * as otlp from '../support/otlp-pieces.ts';
import { asMultiset, decodeItems } from '../support/otlp-schema.ts';
import { VECTORS } from '../support/otlp-vectors.ts';

const { concat, item, len, resource, resourceX, scope, span, text, varint } = otlp;

describe('firstResource', () => {
  it('is the bytes of the first resource, wherever its field stands', () => {
    const identity = text(1, 'identity');
    const first = len(1, text(3, 'url'), varint(1, 7), len(1, identity));
    const request = concat(text(9, 'x'), first, len(1, len(1, text(1, 'other'))));
    expect(Buffer.from(firstResource(request))).toEqual(Buffer.from(identity));
  });

  it('is empty where there is none', () => {
    expect(firstResource(new Uint8Array())).toHaveLength(0);
    expect(firstResource(len(1, text(2, 'scope')))).toHaveLength(0);
  });

  it('hashes as FNV-1a does', () => {
    // Published test vectors: http://www.isthe.com/chongo/src/fnv/test_fnv.c
    expect(orderHash(Buffer.from(''))).toBe(0x811c9dc5);
    expect(orderHash(Buffer.from('a'))).toBe(0xe40c292c);
    expect(orderHash(Buffer.from('foobar'))).toBe(0xbf9cf968);
  });
});

describe('cutBetweenResources', () => {
  // Requests made by other implementations' exporters.
  const traces = VECTORS.filter(({ signal }) => signal === 'traces').map(({ request }) => request);
  const request = Buffer.concat([...traces, text(9, 'unknown')]);

  it('leaves a request that fits in one piece', () => {
    expect(cutBetweenResources(request, request.length)).toEqual([request]);
  });

  it('cuts between resources: all pieces are requests within the limit, and together the same items', () => {
    expect(traces.length).toBeGreaterThan(3);
    const largest = Math.max(...traces.map((bytes) => bytes.length));
    for (const maxBytes of [largest, largest * 2, request.length - 1]) {
      const pieces = cutBetweenResources(request, maxBytes);
      expect(pieces.length).toBeGreaterThan(1);
      for (const piece of pieces) {
        expect(piece.length).toBeLessThanOrEqual(maxBytes);
        expect(piece.length).toBeGreaterThan(0);
      }
      expect(Buffer.concat(pieces)).toEqual(request);
      expect(asMultiset(pieces.flatMap((piece) => decodeItems('traces', piece)))).toEqual(
        asMultiset(decodeItems('traces', request)),
      );
    }
  });

  it('leaves a resource whole that is too large, and all where something else is', () => {
    const small = resourceX(scope(span(1, 1)));
    const large = resourceX(text(3, 'x'.repeat(500)), scope(span(2, 2)));
    expect(cutBetweenResources(concat(small, large, small), 200).map(({ length }) => length)).toEqual([
      small.length,
      large.length,
      small.length,
    ]);
    const beside = concat(small, text(9, 'x'.repeat(500)), small);
    expect(cutBetweenResources(beside, 200)).toEqual([beside]);
  });
});

describe('withoutLargeItems', () => {
  const wide = (id: number) => span(id, id, text(3, 'x'.repeat(300)));
  const around = resource({ 'service.name': 'cart' });

  it('takes out items that are too large with what stands around them, and says which', () => {
    const request = concat(
      text(90, 'beside'),
      resourceX(around, scope(text(3, 'schema'), span(1, 1), wide(2)), scope(wide(3)), text(3, 'schema')),
      resourceX(scope(span(4, 4), wide(5), span(6, 6))),
    );
    const { rest, large } = withoutLargeItems('traces', request, 250);
    expect(large.map(({ index }) => index)).toEqual([1, 2, 4]);
    expect(large.every(({ points }) => points === 1)).toBe(true);
    const expected = concat(
      text(90, 'beside'),
      resourceX(around, scope(text(3, 'schema'), span(1, 1)), scope(), text(3, 'schema')),
      resourceX(scope(span(4, 4), span(6, 6))),
    );
    expect(Uint8Array.from(rest)).toEqual(expected);
  });

  it('counts data points of all kinds of metrics', () => {
    const points = (kind: number, count: number) => len(kind, ...new Array<Uint8Array>(count).fill(len(1)));
    const metrics = [5, 7, 9, 10, 11].map((kind, index) => item(points(kind, index + 1), text(2, 'x'.repeat(300))));
    const request = resourceX(scope(item(points(5, 9)), ...metrics));
    const { large } = withoutLargeItems('metrics', request, 250);
    expect(large).toEqual([1, 2, 3, 4, 5].map((points) => ({ index: points, points })));
  });

  it('knows the limit to the byte, as the kernel does', () => {
    // One item alone: its frame, and six bytes each for the frames of scope and resource.
    const request = resourceX(scope(span(1, 1)));
    const costs = span(1, 1).length + 12;
    expect(withoutLargeItems('traces', request, costs).large).toEqual([]);
    expect(withoutLargeItems('traces', request, costs - 1).large).toHaveLength(1);
  });
});
