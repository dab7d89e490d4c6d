/** Spans of the corpus: traces of a few spans that go through several services, lightly interleaved. */

import type { ProtobufWriter } from '../protobuf/writer.ts';
import type { CorpusShape, ItemSource } from './corpus.ts';
import {
  type AttributeValue,
  attribute,
  EXCEPTIONS,
  hex,
  METHODS,
  ROUTES,
  STATEMENTS,
  USER_AGENTS,
} from './corpus-vocabulary.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface ItemContext {
  readonly writer: ProtobufWriter;
  readonly random: SeededRandom;
  readonly shape: CorpusShape;
  /** Id of an item by its number, 8 bytes. */
  spanId(item: number): Uint8Array;
}

/** A trace under way. */
export interface OpenTrace {
  readonly traceId: Uint8Array;
  /** Spans made of it so far. */
  spans: number;
  spansLeft: number;
  lastSpanId: Uint8Array | null;
}

/** The traces under way: each item belongs to any of them; one that is through makes room for a new one. */
export function createTraceMix({ random, shape }: ItemContext): { next(): OpenTrace } {
  const begin = (): OpenTrace => ({
    traceId: randomTraceId(random),
    spans: 0,
    spansLeft: random.integer(1, shape.maxSpansPerTrace),
    lastSpanId: null,
  });
  const open = Array.from({ length: shape.openTraces }, begin);
  return {
    next() {
      const at = random.integer(0, open.length - 1);
      const trace = open[at]!;
      if (--trace.spansLeft === 0) open[at] = begin();
      return trace;
    },
  };
}

/**
 * | Span | | | |
 * |---|---|---|---|
 * | 1 trace_id | bytes | 8 end_time_unix_nano | fixed64 |
 * | 2 span_id | bytes | 9 attributes | KeyValue |
 * | 4 parent_span_id | bytes | 11 events | {1 time, 2 name, 3 attributes} |
 * | 5 name | string | 13 links | {1 trace_id, 2 span_id} |
 * | 6 kind | enum | 15 status | {2 message, 3 code} |
 * | 7 start_time_unix_nano | fixed64 | 16 flags | fixed32 |
 */
export function createSpanSource(context: ItemContext): ItemSource {
  const { writer, random, shape } = context;
  const traces = createTraceMix(context);
  // Of n spans of a trace one is its first. Firsts get a parent elsewhere just so often that parentShare comes out.
  const meanSpansPerTrace = (1 + shape.maxSpansPerTrace) / 2;
  const remoteParentShare = 1 - (1 - shape.parentShare) * meanSpansPerTrace;

  function write(item: number, startUnixNano: bigint): void {
    const trace = traces.next();
    const spanId = context.spanId(item);
    const firstOfTrace = trace.spans++ === 0;
    const parentSpanId =
      firstOfTrace && random.chance(remoteParentShare) ? Buffer.from(hex(random, 8), 'hex') : trace.lastSpanId;
    trace.lastSpanId = spanId;
    const failed = random.chance(shape.errorShare);
    const kind = random.pick(KINDS);
    const route = random.pick(ROUTES);
    const method = random.pick(METHODS);
    // Log-normal around 9 ms, as latencies are.
    const durationNano = Math.round(9e6 * Math.exp(1.1 * (random.unit() + random.unit() + random.unit() - 1.5) * 2));

    writer.message(2, () => {
      writer.bytes(1, trace.traceId);
      writer.bytes(2, spanId);
      if (parentSpanId) writer.bytes(4, parentSpanId);
      writer.string(5, kind === CLIENT ? 'query' : `${method} ${route}`);
      writer.varint(6, kind);
      writer.fixed64(7, startUnixNano);
      writer.fixed64(8, startUnixNano + BigInt(durationNano));
      const attributes = kind === CLIENT ? databaseAttributes(random) : httpAttributes(random, method, route, failed);
      const count = random.integer(shape.minAttributes, shape.maxAttributes);
      for (const [key, value] of attributes.slice(0, count)) attribute(writer, 9, key, value);
      if (random.chance(shape.eventShare)) {
        for (let events = random.integer(1, 2); events > 0; events--) writeException(startUnixNano);
      }
      if (random.chance(shape.linkShare)) {
        writer.message(13, () => {
          writer.bytes(1, randomTraceId(random));
          writer.bytes(2, Buffer.from(hex(random, 8), 'hex'));
        });
      }
      writer.message(15, () => {
        if (!failed) return;
        writer.string(2, 'upstream failed');
        writer.varint(3, STATUS_ERROR);
      });
      writer.fixed32(16, 0x101);
    });
  }

  function writeException(startUnixNano: bigint): void {
    const [type, message] = random.pick(EXCEPTIONS);
    writer.message(11, () => {
      writer.fixed64(1, startUnixNano + BigInt(random.integer(1, 1_000_000)));
      writer.string(2, 'exception');
      attribute(writer, 3, 'exception.type', type);
      attribute(writer, 3, 'exception.message', message);
    });
  }

  return { write };
}

const SERVER = 2;
const CLIENT = 3;
const CONSUMER = 5;
const INTERNAL = 1;
/** Half of the spans answer a request, the rest is what that takes. */
const KINDS = [SERVER, SERVER, SERVER, SERVER, CONSUMER, CLIENT, CLIENT, CLIENT, INTERNAL, INTERNAL];
const STATUS_ERROR = 2;

type Attributes = Array<readonly [string, AttributeValue]>;

function httpAttributes(random: SeededRandom, method: string, route: string, failed: boolean): Attributes {
  const id = random.integer(1, 999_999);
  return [
    ['http.request.method', method],
    ['url.full', `https://shop.example.com${route.replace('{id}', String(id))}?session=${hex(random, 8)}`],
    ['http.response.status_code', failed ? random.pick([500, 502, 503]) : 200],
    ['user_agent.original', random.pick(USER_AGENTS)],
    ['server.port', 8080],
    ['app.cached', random.chance(0.3)],
    ['app.price', { double: Math.round(random.unit() * 10_000) / 100 }],
    ['network.peer.address', `10.${random.integer(0, 255)}.${random.integer(0, 255)}.7`],
    ['app.user.id', id],
    ['app.sampled', true],
  ];
}

function databaseAttributes(random: SeededRandom): Attributes {
  return [
    ['db.system.name', 'postgresql'],
    ['db.query.text', random.pick(STATEMENTS)],
    ['db.namespace', 'shop'],
    ['server.address', `pg-${random.integer(0, 7)}.internal`],
    ['server.port', 5432],
    ['db.response.returned_rows', random.integer(0, 500)],
    ['app.retried', random.chance(0.02)],
    ['app.wait_ms', { double: random.unit() * 4 }],
    ['thread.id', random.integer(1, 64)],
    ['db.pool.name', 'primary'],
  ];
}

/** 16 random bytes, never all zero. */
export function randomTraceId(random: SeededRandom): Uint8Array {
  const id = Buffer.alloc(16);
  for (let word = 0; word < 4; word++) id.writeUInt32LE(random.uint32(), word * 4);
  id[15]! |= 1;
  return id;
}
