/**
 * Broken and bent bodies at a running bridge, by every transport: it answers each, takes those that are valid by the plain
 * rule (src/kernels/split/reference-rule.ts) and no others, and nothing else gets to Kafka.
 */
import grpc from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { otlpJsonToProtobuf } from '../../src/bridge/otlp-json.ts';
import { faultOf } from '../../src/kernels/split/reference-rule.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { createSeededRandom, type SeededRandom } from '../../src/loadgen/seeded-random.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import { PATIENCE_MS } from '../support/eventually.ts';
import { bendTree, wound } from '../support/otlp-tree.ts';
import { VECTORS } from '../support/otlp-vectors.ts';
import { SERVICES } from './grpc-client.ts';

export interface MutationTarget {
  readonly grpcAddress: string;
  readonly httpAddress: string;
  stored(signal: Signal): Promise<Buffer[]>;
  /** Of the bridge, where it is a process of its own. */
  rssBytes(): Promise<number | null>;
  close(): Promise<void>;
}

const LANES = 16;
const MAX_BYTES = 64 * 1024 * 1024;
/** What the bridge's memory may gain over the second half of the bodies: a heap that is still growing into its room, no leak. */
const RSS_GAIN = 1.15;

const shape = { itemsPerResource: 2, minAttributes: 1, maxAttributes: 3 };
const seedsOf = (signal: Signal) => [
  ...createCorpus({ seed: 50, signal, itemsPerRequest: 3, shape }).requests(8),
  ...VECTORS.filter((vector) => vector.signal === signal && vector.request.length < 3_000).map(
    ({ request }) => request,
  ),
];
const SEEDS = { traces: seedsOf('traces'), metrics: seedsOf('metrics'), logs: seedsOf('logs') };
const FOREIGN = SIGNALS.flatMap((signal) => SEEDS[signal]);

const attributes = [{ key: 'k', value: { arrayValue: { values: [{ intValue: '7' }, { bytesValue: 'AAE=' }] } } }];
const traceId = '5b8efff798038103d269b633813fc60c';
const points = [{ timeUnixNano: '2', asDouble: -0.5, attributes, exemplars: [{ asInt: '3', traceId }] }];
const around = (outer: string, middle: string, inner: string, item: object) =>
  Buffer.from(JSON.stringify({ [outer]: [{ resource: { attributes }, [middle]: [{ [inner]: [item] }] }] }));
const DOCUMENTS: Readonly<Record<Signal, Buffer>> = {
  traces: around('resourceSpans', 'scopeSpans', 'spans', {
    traceId,
    name: 'GET',
    kind: 2,
    status: { code: 1 },
    attributes,
  }),
  metrics: around('resourceMetrics', 'scopeMetrics', 'metrics', { name: 'm', gauge: { dataPoints: points } }),
  logs: around('resourceLogs', 'scopeLogs', 'logRecords', { severityNumber: 9, body: { stringValue: 'hi' }, traceId }),
};

const BREAKS: ReadonlyArray<(signal: Signal, request: Uint8Array, random: SeededRandom) => Uint8Array> = [
  bendTree,
  (_signal, request, random) => wound(request, random.pick(FOREIGN), random),
  (signal, request, random) => wound(bendTree(signal, request, random), request, random),
];

interface Mutated {
  readonly signal: Signal;
  readonly transport: 'grpc' | 'http/protobuf' | 'http/json';
  readonly body: Uint8Array;
  /** As it must be stored; null: it must be refused. */
  readonly expected: Uint8Array | null;
}

function mutate(random: SeededRandom): Mutated {
  const signal = random.pick(SIGNALS);
  const transport = random.pick(['grpc', 'grpc', 'http/protobuf', 'http/protobuf', 'http/json'] as const);
  if (transport === 'http/json') {
    const body = wound(DOCUMENTS[signal], random.pick(FOREIGN), random);
    const converted = otlpJsonToProtobuf(signal, body, MAX_BYTES);
    return { signal, transport, body, expected: converted.kind === 'converted' ? converted.body : null };
  }
  const body = random.pick(BREAKS)(signal, random.pick(SEEDS[signal]), random);
  return { signal, transport, body, expected: faultOf(body, signal) === null ? body : null };
}

export function mutatedBodiesSuite({
  bodies,
  start,
  timeoutMs,
}: {
  bodies: number;
  start: () => Promise<MutationTarget>;
  timeoutMs: number;
}): void {
  const seed = Number(process.env.WEIR_FUZZ_SEED ?? Date.now() % 2 ** 31);
  it(`answers ${bodies.toLocaleString('en')} mutated bodies, takes the valid ones and no others`, {
    timeout: timeoutMs,
  }, async () => {
    console.info(`mutated bodies at the bridge: WEIR_FUZZ_SEED=${seed} sends the same again`);
    const target = await start();
    const client = new grpc.Client(target.grpcAddress, grpc.credentials.createInsecure());
    const random = createSeededRandom(seed);
    const taken: Record<Signal, string[]> = { traces: [], metrics: [], logs: [] };
    let sent = 0;
    let refused = 0;
    let rssEarly: number | null = null;

    const lane = async () => {
      while (sent < bodies) {
        sent++;
        const mutated = mutate(random);
        const outcome = await send(client, target.httpAddress, mutated);
        if (outcome !== (mutated.expected === null ? 'refused' : 'accepted')) {
          const { signal, transport, body } = mutated;
          throw new Error(`${outcome}: ${signal} by ${transport}, ${Buffer.from(body).toString('hex')}`);
        }
        if (mutated.expected === null) refused++;
        else if (mutated.expected.length > 0) taken[mutated.signal].push(hexOf(mutated.expected));
        if (sent === Math.floor(bodies / 2)) rssEarly = await target.rssBytes();
      }
    };
    try {
      await Promise.all(Array.from({ length: LANES }, lane));
      const rssLate = await target.rssBytes();
      for (const signal of SIGNALS) {
        const stored = await target.stored(signal);
        expect(stored.map(hexOf).sort()).toEqual(taken[signal].sort());
        // The mutations are neither so mild nor so wild that one side of the rule goes untested.
        expect(stored.length).toBeGreaterThan(bodies / 30);
      }
      expect(refused).toBeGreaterThan(bodies / 10);
      if (rssEarly !== null && rssLate !== null) expect(rssLate).toBeLessThan(rssEarly * RSS_GAIN);
    } finally {
      client.close();
      await target.close();
    }
  });
}

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const identity = (bytes: Buffer) => bytes;

/** Anything but an acceptance or a refusal as bad data is an error. */
async function send(
  client: grpc.Client,
  httpAddress: string,
  { signal, transport, body }: Mutated,
): Promise<'accepted' | 'refused'> {
  if (transport === 'grpc') {
    const code = await new Promise<number>((resolve) => {
      const path = `/${SERVICES[signal]}/Export`;
      const deadline = Date.now() + PATIENCE_MS;
      client.makeUnaryRequest(path, identity, identity, Buffer.from(body), new grpc.Metadata(), { deadline }, (error) =>
        resolve(error?.code ?? grpc.status.OK),
      );
    });
    if (code === grpc.status.OK) return 'accepted';
    if (code === grpc.status.INVALID_ARGUMENT) return 'refused';
    throw new Error(`gRPC status ${code} for ${hexOf(body)}`);
  }
  const answer = await fetch(`http://${httpAddress}/v1/${signal}`, {
    method: 'POST',
    body: Buffer.from(body),
    headers: { 'content-type': transport === 'http/json' ? 'application/json' : 'application/x-protobuf' },
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  await answer.arrayBuffer();
  if (answer.status === 200) return 'accepted';
  if (answer.status === 400) return 'refused';
  throw new Error(`HTTP status ${answer.status} for ${hexOf(body)}`);
}
