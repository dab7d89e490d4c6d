/**
 * A request as a tree that can be bent: fields in any order, twice, with other numbers and wire types, with tags and
 * lengths longer than needed. It has a parser of its own, so that it shares no mistake with the kernels.
 */
import type { SeededRandom } from '../../src/loadgen/seeded-random.ts';
import type { Signal } from '../../src/signals.ts';

export interface Node {
  number: number;
  wireType: number;
  /** Bytes that the tag, and the length, take beyond what they need. */
  tagPadding: number;
  lengthPadding: number;
  /** A varint with its continuation bits, 4 or 8 bytes, or the content of a LEN field that is no message here. */
  bytes: Uint8Array;
  /** The fields of a LEN field that the kernels walk into. */
  fields: Node[] | null;
}

/** Which LEN fields are messages: field number -> what is in it. */
interface Walk {
  readonly [number: number]: Walk;
}

const ANY_VALUE: { [number: number]: Walk } = {};
const KEY_VALUE: Walk = { 2: ANY_VALUE };
ANY_VALUE[5] = { 1: ANY_VALUE };
ANY_VALUE[6] = { 1: KEY_VALUE };
const EXEMPLAR: Walk = { 7: KEY_VALUE };
const NUMBERS: Walk = { 1: { 5: EXEMPLAR, 7: KEY_VALUE } };
const ITEMS: Readonly<Record<Signal, Walk>> = {
  traces: { 9: KEY_VALUE, 11: { 3: KEY_VALUE }, 13: { 4: KEY_VALUE }, 15: {} },
  metrics: {
    5: NUMBERS,
    7: NUMBERS,
    9: { 1: { 8: EXEMPLAR, 9: KEY_VALUE } },
    10: { 1: { 1: KEY_VALUE, 8: {}, 9: {}, 11: EXEMPLAR } },
    11: { 1: { 6: {}, 7: KEY_VALUE } },
    12: KEY_VALUE,
  },
  logs: { 5: ANY_VALUE, 6: KEY_VALUE },
};
const walkOf = (signal: Signal): Walk => ({ 1: { 1: { 1: KEY_VALUE }, 2: { 1: { 3: KEY_VALUE }, 2: ITEMS[signal] } } });
const WALKS: Readonly<Record<Signal, Walk>> = {
  traces: walkOf('traces'),
  metrics: walkOf('metrics'),
  logs: walkOf('logs'),
};

function parseTree(signal: Signal, request: Uint8Array): Node[] {
  return parseFields(request, WALKS[signal]);
}

function parseFields(bytes: Uint8Array, walk: Walk): Node[] {
  const fields: Node[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    const length = wireType === 2 ? varint() : wireType === 1 ? 8 : wireType === 5 ? 4 : 0;
    const start = at;
    if (wireType === 0) varint();
    else at += length;
    const content = bytes.slice(start, at);
    const inner = wireType === 2 ? walk[number] : undefined;
    fields.push({
      number,
      wireType,
      tagPadding: 0,
      lengthPadding: 0,
      bytes: content,
      fields: inner ? parseFields(content, inner) : null,
    });
  }
  return fields;
}

function encodeTree(fields: readonly Node[]): Uint8Array {
  return Buffer.concat(fields.flatMap(encodeNode));
}

function encodeNode(node: Node): Uint8Array[] {
  const content = node.fields ? encodeTree(node.fields) : node.bytes;
  const tag = paddedVarint(BigInt(node.number) * 8n + BigInt(node.wireType), node.tagPadding);
  return node.wireType === 2
    ? [tag, paddedVarint(BigInt(content.length), node.lengthPadding), content]
    : [tag, content];
}

export function paddedVarint(value: bigint, padding: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    bytes.push(Number(rest & 127n) | 128);
    if (rest < 128n) break;
  }
  for (let i = 0; i < padding; i++) bytes.push(128);
  bytes[bytes.length - 1]! &= 127;
  return Uint8Array.from(bytes);
}

/** A request that differs from `request` in one to four ways; most of them are still well formed. */
export function bendTree(signal: Signal, request: Uint8Array, random: SeededRandom): Uint8Array {
  const fields = parseTree(signal, request);
  for (let bends = random.integer(1, 4); bends > 0; bends--) random.pick(BENDS)(random, messagesOf(fields));
  return encodeTree(fields);
}

/** The field lists of all messages of the tree, the request's own first. */
function messagesOf(fields: Node[]): Node[][] {
  return [fields, ...fields.flatMap((field) => (field.fields ? messagesOf(field.fields) : []))];
}

type Bend = (random: SeededRandom, messages: Node[][]) => void;

const onField =
  (bend: (field: Node, random: SeededRandom) => void): Bend =>
  (random, messages) => {
    const filled = messages.filter((message) => message.length > 0);
    if (filled.length > 0) bend(random.pick(random.pick(filled)), random);
  };

const place = (random: SeededRandom, message: Node[]) => random.integer(0, message.length);

const BENDS: readonly Bend[] = [
  // Drop, repeat, move within and between messages.
  (random, messages) => {
    const message = random.pick(messages);
    message.splice(place(random, message), 1);
  },
  (random, messages) => {
    const message = random.pick(messages);
    if (message.length === 0) return;
    message.splice(place(random, message), 0, structuredClone(random.pick(message)));
  },
  (random, messages) => {
    const message = random.pick(messages);
    const [moved] = message.splice(random.integer(0, Math.max(0, message.length - 1)), 1);
    if (moved) message.splice(place(random, message), 0, moved);
  },
  (random, messages) => {
    const from = random.pick(messages);
    const to = random.pick(messages);
    if (from.length > 0) to.splice(place(random, to), 0, structuredClone(random.pick(from)));
  },
  // A field that nobody knows.
  (random, messages) => {
    const message = random.pick(messages);
    message.splice(place(random, message), 0, randomField(random, random.pick([4, 17, 100, 2_000, 536_870_911])));
  },
  // A field that somebody knows, of any type.
  (random, messages) => {
    const message = random.pick(messages);
    message.splice(place(random, message), 0, randomField(random, random.integer(1, 16)));
  },
  onField((field, random) => {
    field.number = random.chance(0.9) ? random.integer(1, 16) : random.pick([0, 536_870_911, 536_870_912]);
  }),
  onField((field, random) => {
    Object.assign(field, randomField(random, field.number));
  }),
  onField((field, random) => {
    field.tagPadding = random.integer(1, 10);
  }),
  onField((field, random) => {
    field.lengthPadding = random.integer(1, 10);
  }),
  // Contents of telling lengths: ids are 16 bytes, empty strings count as missing.
  onField((field, random) => {
    if (field.wireType !== 2) return;
    field.fields = null;
    field.bytes = randomBytes(random, random.pick([0, 1, 8, 15, 16, 17, 127, 128, 300]));
  }),
  onField((field, random) => {
    if (field.wireType === 2 && !field.fields) field.bytes = new Uint8Array(random.pick([0, 16, 16]));
    else if (field.wireType === 0) field.bytes = randomVarint(random);
  }),
];

function randomField(random: SeededRandom, number: number): Node {
  const wireType = random.chance(0.95) ? random.pick([0, 1, 2, 5]) : random.pick([3, 4, 6, 7]);
  const bytes =
    wireType === 0
      ? randomVarint(random)
      : randomBytes(random, wireType === 1 ? 8 : wireType === 5 ? 4 : wireType === 2 ? random.integer(0, 20) : 0);
  return { number, wireType, tagPadding: 0, lengthPadding: 0, bytes, fields: null };
}

function randomVarint(random: SeededRandom): Uint8Array {
  const bits = random.pick([1, 2, 3, 5, 7, 8, 31, 32, 33, 63, 64, 70, 71]);
  const high = (BigInt(random.uint32()) << 64n) | (BigInt(random.uint32()) << 32n) | BigInt(random.uint32());
  return paddedVarint(BigInt.asUintN(bits, high), random.chance(0.1) ? random.integer(1, 9) : 0);
}

function randomBytes(random: SeededRandom, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.integer(0, 255));
}

/** A request with one to three wounds that know nothing of protobuf: flipped bits, changed, lost and foreign bytes. */
export function wound(request: Uint8Array, foreign: Uint8Array, random: SeededRandom): Uint8Array {
  let bytes = Buffer.from(request);
  for (let wounds = random.integer(1, 3); wounds > 0; wounds--) {
    const at = random.integer(0, Math.max(0, bytes.length - 1));
    const length = random.pick([1, 1, 2, 8, 16, 100]);
    switch (random.integer(0, 5)) {
      case 0:
        if (bytes.length > 0) bytes[at]! ^= 1 << random.integer(0, 7);
        break;
      case 1:
        // A length or a tag that is off by a little hits the bounds of parents.
        if (bytes.length > 0) bytes[at]! += random.pick([-2, -1, 1, 2, 128]);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), randomBytes(random, length), bytes.subarray(at)]);
        break;
      case 4: {
        const from = random.integer(0, foreign.length - 1);
        const piece = foreign.subarray(from, from + random.integer(1, 200));
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          piece,
          bytes.subarray(at + (random.chance(0.5) ? piece.length : 0)),
        ]);
        break;
      }
      default:
        bytes = bytes.subarray(0, at);
    }
  }
  return Uint8Array.from(bytes);
}
