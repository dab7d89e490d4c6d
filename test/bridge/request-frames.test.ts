import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutRequest, faultOf, firstResource, orderHash } from '../../src/bridge/request-frames.ts';
import { asMultiset, decodeItems } from '../support/otlp-schema.ts';

/** Requests made by other implementations' exporters. */
const folder = new URL('../vectors/', import.meta.url);
const vectors = readdirSync(folder)
  .filter((name) => name.endsWith('.bin'))
  .map((name) => ({ name, bytes: readFileSync(new URL(name, folder)) }));

/** A message of one field. */
function field(number: number, payload: Uint8Array): Buffer {
  const length: number[] = [];
  let rest = payload.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), payload]);
}

describe('faultOf', () => {
  it('finds none in requests of other implementations, nor in an empty one', () => {
    expect(vectors.length).toBeGreaterThan(10);
    for (const { name, bytes } of vectors) expect(faultOf(bytes), name).toBeNull();
    expect(faultOf(new Uint8Array())).toBeNull();
  });

  it('finds one in every request that is cut within a resource', () => {
    const resource = field(1, field(1, field(1, Buffer.from('abc'))));
    const request = Buffer.concat([resource, resource]);
    for (let length = 1; length < request.length; length++) {
      if (length === resource.length) expect(faultOf(request.subarray(0, length))).toBeNull();
      else expect(faultOf(request.subarray(0, length)), String(length)).toContain('no protobuf field at byte');
    }
  });

  it('takes unknown fields of every wire type, and no groups', () => {
    const unknown = ['38ff01', '397766554433221100', '3a026162', '3d77665544'].join('');
    expect(faultOf(Buffer.from(unknown, 'hex'))).toBeNull();
    expect(faultOf(Buffer.from('3b3c', 'hex'))).not.toBeNull();
    expect(faultOf(Buffer.from('0801', 'hex'))).toBe('field 1 at byte 0 is no message');
    expect(faultOf(Buffer.from('0200', 'hex'))).not.toBeNull(); // field 0
    expect(faultOf(Buffer.from('0affffffffffffffffff01', 'hex'))).not.toBeNull(); // longer than anything
    expect(faultOf(Buffer.from('hello'))).not.toBeNull();
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const fault = faultOf(bytes);
        expect(fault === null || fault.length > 0).toBe(true);
        if (fault === null) firstResource(bytes);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('firstResource', () => {
  it('is the bytes of the first resource, wherever its field stands', () => {
    const resource = field(1, Buffer.from('identity'));
    const schemaUrl = field(3, Buffer.from('url'));
    const unknown = field(9, Buffer.from('x'));
    const first = field(1, Buffer.concat([schemaUrl, field(1, resource)]));
    const request = Buffer.concat([unknown, first, field(1, field(1, Buffer.from('other')))]);
    expect(Buffer.from(firstResource(request))).toEqual(resource);
  });

  it('is empty where there is none', () => {
    expect(firstResource(new Uint8Array())).toHaveLength(0);
    expect(firstResource(field(1, field(2, Buffer.from('scope'))))).toHaveLength(0);
  });

  it('hashes as FNV-1a does', () => {
    // Published test vectors: http://www.isthe.com/chongo/src/fnv/test_fnv.c
    expect(orderHash(Buffer.from(''))).toBe(0x811c9dc5);
    expect(orderHash(Buffer.from('a'))).toBe(0xe40c292c);
    expect(orderHash(Buffer.from('foobar'))).toBe(0xbf9cf968);
  });
});

describe('cutRequest', () => {
  const traces = vectors.filter(({ name }) => name.includes('traces')).map(({ bytes }) => bytes);
  const request = Buffer.concat([...traces, field(9, Buffer.from('unknown'))]);

  it('leaves a request that fits in one piece', () => {
    expect(cutRequest(request, request.length)).toEqual({ kind: 'pieces', pieces: [request] });
  });

  it('cuts between resources: all pieces are requests within the limit, and together the same items', () => {
    const largest = Math.max(...traces.map((bytes) => bytes.length));
    for (const maxBytes of [largest, largest * 2, request.length - 1]) {
      const cut = cutRequest(request, maxBytes);
      if (cut.kind !== 'pieces') throw new Error(cut.kind);
      expect(cut.pieces.length).toBeGreaterThan(1);
      for (const piece of cut.pieces) {
        expect(piece.length).toBeLessThanOrEqual(maxBytes);
        expect(piece.length).toBeGreaterThan(0);
      }
      expect(Buffer.concat(cut.pieces)).toEqual(request);
      expect(asMultiset(cut.pieces.flatMap((piece) => decodeItems('traces', piece)))).toEqual(
        asMultiset(decodeItems('traces', request)),
      );
    }
  });

  it('says how large a resource is that fits nowhere', () => {
    const large = field(1, Buffer.alloc(5_000));
    expect(cutRequest(Buffer.concat([field(1, Buffer.alloc(10)), large]), 4_000)).toEqual({
      kind: 'too-large',
      bytes: large.length,
    });
  });
});
