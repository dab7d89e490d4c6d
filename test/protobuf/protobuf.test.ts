/** What we write, protobufjs reads, and the other way round. */
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { ProtobufError, ProtobufReader } from '../../src/protobuf/reader.ts';
import { ProtobufWriter } from '../../src/protobuf/writer.ts';

const { root } = protobuf.parse(`
  syntax = "proto3";
  message Node {
    uint64 unsigned = 1; int64 signed = 2; sfixed64 at = 3; double share = 4; fixed32 flags = 5;
    string name = 6; bytes body = 7; repeated uint64 counts = 8; repeated Node nodes = 1000;
  }
`);
const Node = root.lookupType('Node');

interface Tree {
  readonly unsigned: bigint;
  readonly signed: bigint;
  readonly at: bigint;
  readonly share: number;
  readonly flags: number;
  readonly name: string;
  readonly body: Uint8Array;
  readonly counts: readonly number[];
  readonly nodes: readonly Tree[];
}

const leaf = {
  unsigned: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  signed: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  at: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  share: fc.double({ noNaN: true }),
  flags: fc.nat({ max: 2 ** 32 - 1 }),
  name: fc.string({ unit: 'grapheme', maxLength: 50 }),
  body: fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.constantFrom(126, 127, 128, 16_383, 16_384).map(bytesOf)),
  counts: fc.array(fc.nat({ max: Number.MAX_SAFE_INTEGER }), { maxLength: 4 }),
};
const treeOf = (depth: number): fc.Arbitrary<Tree> =>
  fc.record({ ...leaf, nodes: depth === 0 ? fc.constant([]) : fc.array(treeOf(depth - 1), { maxLength: 3 }) });

function bytesOf(count: number): Uint8Array {
  return new Uint8Array(count).fill(7);
}

function write(writer: ProtobufWriter, node: Tree): void {
  writer.varint(1, node.unsigned);
  writer.varint(2, node.signed);
  writer.fixed64(3, node.at);
  writer.double(4, node.share);
  writer.fixed32(5, node.flags);
  writer.string(6, node.name);
  writer.bytes(7, node.body);
  writer.packed(8, node.counts);
  for (const inner of node.nodes) writer.message(1000, () => write(writer, inner));
}

/** As protobufjs shows a message, so that both can be held against each other. */
const shown = ({ unsigned, signed, at, body, counts, nodes, ...rest }: Tree): unknown => ({
  ...rest,
  unsigned: String(unsigned),
  signed: String(signed),
  at: String(at),
  body: Buffer.from(body).toString('base64'),
  counts: counts.map(String),
  nodes: nodes.map(shown),
});
const decode = (bytes: Uint8Array) =>
  Node.toObject(Node.decode(bytes), { longs: String, bytes: String, defaults: true });

describe('the protobuf writer', () => {
  it('writes what protobufjs reads, of any size and depth, again and again', () => {
    const writer = new ProtobufWriter(8);
    fc.assert(
      fc.property(treeOf(3), (node) => {
        write(writer, node);
        const { lengthBytes } = writer;
        const bytes = writer.finish();
        expect(bytes.length).toBe(lengthBytes);
        expect(decode(bytes)).toEqual(shown(node));
      }),
    );
  });

  it('gives away messages that it never touches again', () => {
    const writer = new ProtobufWriter();
    writer.varint(1, 5);
    const first = writer.finish();
    writer.varint(1, 6);
    writer.clear();
    writer.varint(1, 7);
    expect([decode(first), decode(writer.finish())]).toMatchObject([{ unsigned: '5' }, { unsigned: '7' }]);
  });

  it('refuses a number that is none', () => {
    for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => new ProtobufWriter().varint(1, value)).toThrow(RangeError);
  });
});

describe('the protobuf reader', () => {
  const message = (fields: object) => Node.encode(Node.fromObject(fields)).finish();

  it('reads what protobufjs writes, and skips what nobody asks for', () => {
    const inner = { name: 'in', counts: [1, 2 ** 40], share: 0.25, at: -5, flags: 9, body: 'AAE=' };
    const reader = new ProtobufReader(message({ unsigned: 2 ** 50, flags: 1, nodes: [inner] }));
    const seen: unknown[] = [];
    while (reader.next()) {
      if (reader.field === 1) seen.push(reader.uint());
      if (reader.field !== 1000) continue;
      const nested = reader.message();
      while (nested.next()) {
        if (nested.field === 3) seen.push(nested.sfixed64());
        else if (nested.field === 4) seen.push(nested.double());
        else if (nested.field === 6) seen.push(nested.string());
        else if (nested.field === 7) seen.push([...nested.bytes()]);
        else if (nested.field === 8) {
          const counts: number[] = [];
          nested.numbers(counts);
          seen.push(counts);
        }
      }
    }
    expect(seen).toEqual([2 ** 50, -5, 0.25, 'in', [0, 1], [1, 2 ** 40]]);
  });

  it('refuses a wire type that is not the expected one, a group, and field 0', () => {
    const reader = new ProtobufReader(message({ unsigned: 1 }));
    reader.next();
    expect(() => reader.string()).toThrow(ProtobufError);
    for (const bytes of [[0x0b], [0x00, 0x01], [0x80]])
      expect(() => {
        const bad = new ProtobufReader(Uint8Array.from(bytes));
        while (bad.next());
      }).toThrow(ProtobufError);
  });
});
