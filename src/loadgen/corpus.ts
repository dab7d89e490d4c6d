/**
 * The corpus: OTLP requests as a fleet of services would send them, made from a seed. The same options give the same
 * bytes on every machine. Every figure that the project states is measured on it, `weir load` sends it, and the tests
 * split it.
 *
 * Resources come in turn from 200 hosts, each of which runs one instance of one of 48 services. Spans are ~425 B each
 * with everything around them. A corpus goes on for ever; measure on at least 200 distinct requests, cycled, or the
 * processor's caches flatter the figures.
 */

import { ProtobufWriter } from '../protobuf/writer.ts';
import type { Signal } from '../signals.ts';
import { createLogSource } from './corpus-logs.ts';
import { createMetricSource } from './corpus-metrics.ts';
import { createSpanSource } from './corpus-spans.ts';
import { attribute, createFleet } from './corpus-vocabulary.ts';
import { createSeededRandom, mix32 } from './seeded-random.ts';

export interface CorpusOptions {
  /** 32 bits. */
  readonly seed: number;
  readonly signal: Signal;
  /** Spans, metrics or log records a request. */
  readonly itemsPerRequest: number;
  /** 48 unless told. */
  readonly services?: number;
  /** What differs from DEFAULT_SHAPE. */
  readonly shape?: Partial<CorpusShape>;
  /** Number of the first item: span ids are counted on from it, so that several corpora of one seed never share one. */
  readonly firstItem?: number;
  /** Time at which the next request is sent. Absent: a clock that starts at a fixed date and goes on 1 ms an item. */
  readonly nowUnixNano?: () => bigint;
}

export interface CorpusShape {
  /** Hosts that run one instance each. */
  readonly hosts: number;
  readonly itemsPerResource: number;
  readonly scopesPerResource: number;
  /** Traces have 1 to this many spans. */
  readonly maxSpansPerTrace: number;
  /** Traces under way at once; each next span (or log record) belongs to any of them. */
  readonly openTraces: number;
  readonly minAttributes: number;
  readonly maxAttributes: number;
  /** Share of spans with a parent. */
  readonly parentShare: number;
  /** Share of spans with one or two exception events. */
  readonly eventShare: number;
  readonly linkShare: number;
  /** Share of spans with status ERROR, of log records with severity ERROR. */
  readonly errorShare: number;
  /** 0: all services send alike. s: the n-th service sends 1/n^s as much as the first. */
  readonly serviceSkew: number;
}

export const DEFAULT_SHAPE: CorpusShape = {
  hosts: 200,
  itemsPerResource: 256,
  scopesPerResource: 2,
  maxSpansPerTrace: 5,
  openTraces: 4,
  minAttributes: 6,
  maxAttributes: 10,
  parentShare: 0.8,
  eventShare: 0.15,
  linkShare: 0.05,
  errorShare: 0.06,
  serviceSkew: 0,
};

export const DEFAULT_SERVICES = 48;

export interface Corpus {
  /** The next request: the body of an Export*ServiceRequest. The caller's to keep. */
  next(): Uint8Array;
  /** The next `count` requests. */
  requests(count: number): Uint8Array[];
  /** Number of the next item; spans and log records `firstItem` up to it have been made. */
  readonly nextItem: number;
}

/** Writes items into the scope that is open, each as field 2. */
export interface ItemSource {
  write(item: number, timeUnixNano: bigint): void;
}

/** 2025-10-09T08:53:20Z: where the clock starts when no other is passed in. */
const FIXED_START_UNIX_NANO = 1_760_000_000_000_000_000n;
const ITEM_INTERVAL_NANO = 1_000_000n;

export function createCorpus(options: CorpusOptions): Corpus {
  const { seed, signal, itemsPerRequest } = options;
  const shape: CorpusShape = { ...DEFAULT_SHAPE, ...options.shape };
  const random = createSeededRandom(seed ^ SIGNAL_SALT[signal]);
  const fleet = createFleet(random, {
    services: options.services ?? DEFAULT_SERVICES,
    hosts: shape.hosts,
    skew: shape.serviceSkew,
  });
  const writer = new ProtobufWriter(itemsPerRequest * 512);
  const itemContext = { writer, random, shape, spanId: (item: number) => spanIdOf(seed, item) };
  const source: ItemSource =
    signal === 'traces'
      ? createSpanSource(itemContext)
      : signal === 'logs'
        ? createLogSource(itemContext)
        : createMetricSource(itemContext);
  let nextItem = options.firstItem ?? 0;

  /** {1: ResourceX{1: Resource{1: attributes}, 2: ScopeX{1: scope, 2: items, 3: schema_url}, 3: schema_url}} */
  function writeResource(items: number, now: bigint): void {
    const instance = fleet.pick();
    writer.message(1, () => {
      writer.message(1, () => {
        for (const [key, value] of instance.attributes) attribute(writer, 1, key, value);
      });
      const perScope = Math.ceil(shape.itemsPerResource / shape.scopesPerResource);
      const scopes = Math.min(shape.scopesPerResource, Math.max(1, Math.ceil(items / Math.max(perScope, 1))), items);
      let left = items;
      for (let scope = 0; scope < scopes; scope++) {
        const count = scope === scopes - 1 ? left : Math.min(left, perScope);
        left -= count;
        writer.message(2, () => {
          writer.message(1, () => {
            writer.string(1, instance.scopes[scope % instance.scopes.length]!);
            writer.string(2, '1.27.0');
          });
          for (let i = 0; i < count; i++, nextItem++) {
            source.write(nextItem, now - BigInt(items - i) * ITEM_INTERVAL_NANO);
          }
        });
      }
      writer.string(3, 'https://opentelemetry.io/schemas/1.27.0');
    });
  }

  function next(): Uint8Array {
    const lastItem = nextItem + itemsPerRequest;
    const now = options.nowUnixNano?.() ?? FIXED_START_UNIX_NANO + BigInt(lastItem) * ITEM_INTERVAL_NANO;
    while (nextItem < lastItem) writeResource(Math.min(shape.itemsPerResource, lastItem - nextItem), now);
    return writer.finish();
  }

  return {
    next,
    requests: (count) => Array.from({ length: count }, next),
    get nextItem() {
      return nextItem;
    },
  };
}

/** So that the three signals of one seed do not tell the same story. */
const SIGNAL_SALT: Readonly<Record<Signal, number>> = { traces: 0, metrics: 0x6d657472, logs: 0x6c6f6773 };

/**
 * Id (8 bytes) of item `n` of a corpus: no two of one seed are the same below 2^32 items, none is zero. Spans and log
 * records carry it as their span id, so that a test can count what came out: its last four bytes are a bijection of n.
 */
export function spanIdOf(seed: number, n: number): Uint8Array {
  const low = Math.imul(n, 0x9e3779b1) ^ seed;
  const high = mix32(low ^ 0x5bd1e995) | 1;
  const id = new Uint8Array(8);
  const view = new DataView(id.buffer);
  view.setUint32(0, high >>> 0);
  view.setUint32(4, low >>> 0);
  return id;
}
