/**
 * What the OTLP specification (1.9, https://opentelemetry.io/docs/specs/otlp) asks of a server: each MUST and SHOULD, in our
 * words, with what shows it. conformance.test.ts runs every row on every transport that it names, and docs/bridge.md prints them.
 */
import { gzipSync } from 'node:zlib';
import grpc from '@grpc/grpc-js';
import { expect } from 'vitest';
import { configSchema } from '../../src/config.ts';
import { SIGNALS, type Signal } from '../../src/signals.ts';
import * as otlp from '../support/otlp-pieces.ts';
import { decodeItems } from '../support/otlp-schema.ts';
import { exportByGrpc } from './grpc-client.ts';
import { decodePartialSuccess, decodeStatus, type HeldProducer, type Rig } from './rig.ts';
import { JSON_KEYS, jsonOf, POINTS, requestOf } from './sample-requests.ts';

const { concat, len, resourceX, scope, text, varint } = otlp;

export const TRANSPORTS = ['gRPC', 'HTTP protobuf', 'HTTP JSON'] as const;
export type Transport = (typeof TRANSPORTS)[number];
const HTTP = ['HTTP protobuf', 'HTTP JSON'] as const;
const JSON_ONLY = ['HTTP JSON'] as const;

/** `max.message.bytes` and `bridge.maxRequestBytes` of the rig that rows get. */
export const RECORD_BYTES = 65_536;
export const REQUEST_BYTES = 200_000;

export interface Context {
  readonly transport: Transport;
  /** A bridge whose records have RECORD_BYTES and whose requests have REQUEST_BYTES at most. */
  readonly rig: Rig;
  /** A bridge of its own before a Kafka that answers when it is told to; its queue has room for 10,000 bytes. */
  held(): Promise<{ readonly rig: Rig; readonly producer: HeldProducer }>;
}

export interface Requirement {
  readonly section: string;
  readonly level: 'MUST' | 'SHOULD';
  readonly says: string;
  readonly on: readonly Transport[];
  show(context: Context): Promise<void> | void;
}

/** What an exporter makes of an answer. */
interface Answer {
  readonly ok: boolean;
  /** gRPC's code, or HTTP's status. */
  readonly code: number;
  readonly retryAfterMs: number | null;
  readonly message: string;
  readonly contentType: string | null;
  readonly body: Buffer;
}

const CONTENT_TYPES = { 'HTTP protobuf': 'application/x-protobuf', 'HTTP JSON': 'application/json' } as const;
const TYPE_OF_DETAIL = (name: string) => `type.googleapis.com/google.rpc.${name}`;

interface Sending {
  readonly gzip?: boolean;
  readonly rig?: Rig;
}

async function send(
  context: Context,
  signal: Signal,
  body: Uint8Array | string,
  { gzip = false, rig = context.rig }: Sending = {},
): Promise<Answer> {
  const { transport } = context;
  if (transport === 'gRPC') {
    const { code, details, reply, status } = await exportByGrpc(rig, signal, Buffer.from(body), { gzip });
    return {
      ok: code === grpc.status.OK,
      code,
      retryAfterMs: status?.retryAfterMs ?? null,
      message: details,
      contentType: null,
      body: reply ?? Buffer.alloc(0),
    };
  }
  const headers = { 'content-type': CONTENT_TYPES[transport], ...(gzip ? { 'content-encoding': 'gzip' } : {}) };
  const answer = await rig.post(`/v1/${signal}`, gzip ? gzipSync(body) : body, headers);
  const ok = answer.status === 200;
  const retryAfter = answer.headers.get('retry-after');
  return {
    ok,
    code: answer.status,
    retryAfterMs: retryAfter === null ? null : Number(retryAfter) * 1_000,
    message: ok ? '' : messageOf(transport, answer.body),
    contentType: answer.headers.get('content-type'),
    body: answer.body,
  };
}

const messageOf = (transport: Transport, body: Buffer): string =>
  transport === 'HTTP JSON' ? JSON.parse(body.toString()).message : decodeStatus(body).message;

/** Items of these sizes, as the transport has them. */
const sample = ({ transport }: Context, signal: Signal, sizes: readonly number[]) =>
  transport === 'HTTP JSON' ? jsonOf(signal, sizes) : requestOf(signal, sizes);

function partialOf({ transport }: Context, { body }: Answer, signal: Signal) {
  if (transport !== 'HTTP JSON') return decodePartialSuccess(body);
  const { partialSuccess } = JSON.parse(body.toString());
  if (partialSuccess === undefined) return null;
  const key = { traces: 'rejectedSpans', metrics: 'rejectedDataPoints', logs: 'rejectedLogRecords' }[signal];
  return { rejected: Number(partialSuccess[key]), errorMessage: partialSuccess.errorMessage };
}

const malformed = ({ transport }: Context) =>
  transport === 'HTTP JSON' ? '{"resourceSpans":7}' : Buffer.from('hello');
const isTooLarge = { gRPC: grpc.status.RESOURCE_EXHAUSTED, 'HTTP protobuf': 413, 'HTTP JSON': 413 };
const isBadData = { gRPC: grpc.status.INVALID_ARGUMENT, 'HTTP protobuf': 400, 'HTTP JSON': 400 };
const isUnavailable = { gRPC: grpc.status.UNAVAILABLE, 'HTTP protobuf': 503, 'HTTP JSON': 503 };

async function eachSignal(show: (signal: Signal) => Promise<void>): Promise<void> {
  for (const signal of SIGNALS) await show(signal);
}

/** Sends a document to the bridge and decodes what it has stored of it. */
async function storedOf({ rig }: Context, signal: Signal, document: unknown): Promise<Array<Record<string, unknown>>> {
  const before = (await rig.stored(signal)).length;
  const body = JSON.stringify(document);
  const answer = await rig.post(`/v1/${signal}`, body, { 'content-type': 'application/json' });
  expect(answer.status, answer.body.toString()).toBe(200);
  const records = await rig.stored(signal);
  expect(records).toHaveLength(before + 1);
  // Partitions are read one by one, so the new one may be anywhere: its item is told by its name.
  return records.flatMap(({ value }) => decodeItems(signal, value).map(({ item }) => JSON.parse(item)));
}

const spanDocument = (span: unknown) => ({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });
const named = (items: Array<Record<string, unknown>>, name: string) => items.find((item) => item.name === name)!;

export const REQUIREMENTS: readonly Requirement[] = [
  {
    section: 'Protocol Details',
    level: 'MUST',
    says: 'supports requests that are not compressed, and gzip',
    on: TRANSPORTS,
    show: (context) =>
      eachSignal(async (signal) => {
        for (const gzip of [false, true]) {
          expect(await send(context, signal, sample(context, signal, [10]), { gzip })).toMatchObject({ ok: true });
        }
      }),
  },
  {
    section: 'Requests',
    level: 'MUST',
    says: 'limits the size of a request, before and after decompression (RESOURCE_EXHAUSTED without RetryInfo; HTTP SHOULD: 413)',
    on: TRANSPORTS,
    async show(context) {
      for (const gzip of [false, true]) {
        const large = sample(context, 'logs', new Array<number>(5).fill(50_000));
        expect(await send(context, 'logs', large, { gzip })).toMatchObject({
          ok: false,
          code: isTooLarge[context.transport],
          retryAfterMs: null,
        });
      }
    },
  },
  {
    section: 'Concurrent Requests',
    level: 'SHOULD',
    says: 'serves several requests at a time',
    on: TRANSPORTS,
    async show(context) {
      const { rig, producer } = await context.held();
      const sending = [1, 2, 3].map((bytes) => send(context, 'traces', sample(context, 'traces', [bytes]), { rig }));
      // All three are on their way to Kafka before one is answered.
      const seen = () => producer.calls.reduce((sum, { records }) => sum + records.length, 0);
      while (seen() < 3) await producer.called(producer.calls.length + 1);
      for (const call of producer.calls) call.answer();
      expect((await Promise.all(sending)).map(({ ok }) => ok)).toEqual([true, true, true]);
    },
  },
  {
    section: 'Full Success',
    level: 'MUST',
    says: 'answers success with an Export…ServiceResponse whose partial_success is unset (HTTP: 200 OK)',
    on: TRANSPORTS,
    show: (context) =>
      eachSignal(async (signal) => {
        const answer = await send(context, signal, sample(context, signal, [10]));
        expect(answer).toMatchObject({ ok: true, code: context.transport === 'gRPC' ? grpc.status.OK : 200 });
        expect(partialOf(context, answer, signal)).toBeNull();
      }),
  },
  {
    section: 'Full Success',
    level: 'SHOULD',
    says: 'answers an empty request with success',
    on: TRANSPORTS,
    show: (context) =>
      eachSignal(async (signal) => {
        const empty = context.transport === 'HTTP JSON' ? ['{}', `{"${JSON_KEYS[signal][0]}":[]}`] : [''];
        for (const body of empty) expect(await send(context, signal, body)).toMatchObject({ ok: true });
      }),
  },
  {
    section: 'Partial Success',
    level: 'MUST',
    says: 'tells by partial_success how many spans, data points or log records it rejected, in the message of success (HTTP: 200 OK)',
    on: TRANSPORTS,
    show: (context) =>
      eachSignal(async (signal) => {
        const answer = await send(context, signal, sample(context, signal, [10, 70_000]));
        expect(answer.ok).toBe(true);
        expect(partialOf(context, answer, signal)).toMatchObject({ rejected: signal === 'metrics' ? POINTS : 1 });
      }),
  },
  {
    section: 'Partial Success',
    level: 'SHOULD',
    says: 'says in error_message why items were rejected, and what to do',
    on: TRANSPORTS,
    async show(context) {
      const answer = await send(context, 'logs', sample(context, 'logs', [10, 70_000]));
      expect(partialOf(context, answer, 'logs')!.errorMessage).toMatch(/max\.message\.bytes of otlp_logs .*: 1$/);
    },
  },
  {
    section: 'Failures',
    level: 'SHOULD',
    says: 'tells failures that may be tried again (UNAVAILABLE, 503) from those that may not (INVALID_ARGUMENT, 400)',
    on: TRANSPORTS,
    async show(context) {
      const { transport } = context;
      expect(await send(context, 'traces', malformed(context))).toMatchObject({
        code: isBadData[transport],
        retryAfterMs: null,
      });
      const { rig, producer } = await context.held();
      const sending = send(context, 'traces', sample(context, 'traces', [10]), { rig });
      await producer.called(1);
      producer.calls[0]!.answer({ kind: 'unknown', cause: new Error('no answer') });
      expect(await sending).toMatchObject({ code: isUnavailable[transport], retryAfterMs: expect.any(Number) });
    },
  },
  {
    section: 'Throttling',
    level: 'SHOULD',
    says: 'signals backpressure when it cannot keep up: UNAVAILABLE with RetryInfo, 503 with Retry-After',
    on: TRANSPORTS,
    async show(context) {
      const { rig, producer } = await context.held();
      const first = send(context, 'traces', sample(context, 'traces', [9_000]), { rig });
      await producer.called(1);
      const second = await send(context, 'traces', sample(context, 'traces', [9_000]), { rig });
      expect(second).toMatchObject({ code: isUnavailable[context.transport], retryAfterMs: expect.any(Number) });
      producer.calls[0]!.answer();
      expect(await first).toMatchObject({ ok: true });
    },
  },
  {
    section: 'Throttling',
    level: 'SHOULD',
    says: 'chooses a delay that gives it time to recover, and does not make exporters drop what they hold (1 to 38 s, from backlog and drain rate)',
    on: ['gRPC'],
    async show(context) {
      const { rig, producer } = await context.held();
      const sending = send(context, 'traces', sample(context, 'traces', [10]), { rig });
      await producer.called(1);
      producer.calls[0]!.answer({ kind: 'unknown', cause: new Error('no answer') });
      const { retryAfterMs } = await sending;
      expect(retryAfterMs).toBeGreaterThanOrEqual(1_000);
      expect(retryAfterMs).toBeLessThanOrEqual(38_000);
    },
  },
  {
    section: 'Default Ports',
    level: 'SHOULD',
    says: 'listens on 4317 for gRPC and 4318 for HTTP',
    on: TRANSPORTS,
    show: () => expect(configSchema.parse({})).toMatchObject({ grpcPort: 4_317, httpPort: 4_318 }),
  },
  {
    section: 'OTLP/HTTP Request',
    level: 'MUST',
    says: 'takes POST on /v1/traces, /v1/metrics and /v1/logs',
    on: HTTP,
    show: (context) =>
      eachSignal(async (signal) => {
        expect(await send(context, signal, sample(context, signal, [10]))).toMatchObject({ ok: true });
      }),
  },
  {
    section: 'OTLP/HTTP Response',
    level: 'MUST',
    says: "answers in the request's Content-Type, success and failure",
    on: HTTP,
    async show(context) {
      const contentType = CONTENT_TYPES[context.transport as keyof typeof CONTENT_TYPES];
      expect(await send(context, 'traces', sample(context, 'traces', [1]))).toMatchObject({ ok: true, contentType });
      expect(await send(context, 'traces', malformed(context))).toMatchObject({ ok: false, contentType });
    },
  },
  {
    section: 'OTLP/HTTP Failures',
    level: 'MUST',
    says: 'fails with 4xx or 5xx and a google.rpc.Status, whose message is for developers',
    on: HTTP,
    async show(context) {
      const answer = await send(context, 'traces', malformed(context));
      expect(answer.code).toBeGreaterThanOrEqual(400);
      expect(answer.message).toContain('the body is no OTLP');
    },
  },
  {
    section: 'OTLP/HTTP Bad Data',
    level: 'MUST',
    says: 'answers bad data with 400 (SHOULD: a BadRequest in the details)',
    on: HTTP,
    async show(context) {
      const answer = await send(context, 'traces', malformed(context));
      expect(answer.code).toBe(400);
      expect(answer.body.toString()).toContain(TYPE_OF_DETAIL('BadRequest'));
    },
  },
  {
    section: 'OTLP/HTTP Connection',
    level: 'SHOULD',
    says: 'takes protobuf and JSON on one port, told apart by Content-Type, whatever its parameters',
    on: HTTP,
    async show({ rig }) {
      const types = ['application/x-protobuf', 'application/json; charset=utf-8', 'Application/JSON;charset=UTF-8'];
      for (const type of types) {
        const body = type.includes('protobuf') ? requestOf('logs', [1]) : jsonOf('logs', [1]);
        expect((await rig.post('/v1/logs', body, { 'content-type': type })).status).toBe(200);
      }
    },
  },
  {
    section: 'All Other Responses',
    level: 'SHOULD',
    says: 'uses HTTP as it is meant otherwise: 404, 405 with Allow, 415',
    on: HTTP,
    async show({ rig, transport }) {
      const contentType = CONTENT_TYPES[transport as keyof typeof CONTENT_TYPES];
      const headers = { 'content-type': contentType };
      expect((await rig.post('/v1/elsewhere', '', headers)).status).toBe(404);
      expect((await rig.post('/v1/logs', '', { 'content-type': 'text/plain' })).status).toBe(415);
      expect((await rig.post('/v1/logs', '', { ...headers, 'content-encoding': 'compress' })).status).toBe(415);
      const got = await fetch(`http://${rig.bridge.httpAddress}/v1/logs`, { headers });
      expect(got.status).toBe(405);
      expect(got.headers.get('allow')).toContain('POST');
    },
  },
  {
    section: 'JSON Protobuf Encoding',
    level: 'MUST',
    says: 'reads trace and span ids as hex, in either case',
    on: JSON_ONLY,
    async show(context) {
      const traceId = '5B8EFFF798038103d269b633813fc60c';
      const span = { name: 'hex', traceId, spanId: 'eee19b7EC3C1B174' };
      expect(named(await storedOf(context, 'traces', spanDocument(span)), 'hex')).toMatchObject({
        traceId: Buffer.from(traceId, 'hex').toString('base64'),
        spanId: Buffer.from('eee19b7ec3c1b174', 'hex').toString('base64'),
      });
    },
  },
  {
    section: 'JSON Protobuf Encoding',
    level: 'MUST',
    says: 'takes enums as integers, and by name not',
    on: JSON_ONLY,
    async show(context) {
      const stored = await storedOf(context, 'traces', spanDocument({ name: 'enum', kind: 2 }));
      expect(named(stored, 'enum')).toMatchObject({ kind: 2 });
      const byName = JSON.stringify(spanDocument({ kind: 'SPAN_KIND_SERVER' }));
      expect(await send(context, 'traces', byName)).toMatchObject({ code: 400 });
    },
  },
  {
    section: 'JSON Protobuf Encoding',
    level: 'MUST',
    says: 'ignores fields with unknown names, those in snake_case among them',
    on: JSON_ONLY,
    async show(context) {
      const span = { name: 'unknown', newField: { deep: [1, 'x', null] }, dropped_events_count: 7 };
      expect(named(await storedOf(context, 'traces', spanDocument(span)), 'unknown')).toEqual({ name: 'unknown' });
    },
  },
  {
    section: 'JSON Protobuf Encoding',
    level: 'MUST',
    says: 'takes 64-bit integers as strings and as numbers, exactly',
    on: JSON_ONLY,
    async show(context) {
      const span = '{"name":"int64","startTimeUnixNano":"1544712660000000001","endTimeUnixNano":1544712661000000003}';
      const answer = await send(context, 'traces', `{"resourceSpans":[{"scopeSpans":[{"spans":[${span}]}]}]}`);
      expect(answer.ok).toBe(true);
      const stored = (await context.rig.stored('traces')).flatMap(({ value }) =>
        decodeItems('traces', value).map(({ item }) => JSON.parse(item)),
      );
      expect(named(stored, 'int64')).toMatchObject({
        startTimeUnixNano: '1544712660000000001',
        endTimeUnixNano: '1544712661000000003',
      });
    },
  },
  {
    section: 'Future Versions',
    level: 'MUST',
    says: 'works with exporters of other versions: fields that it does not know are taken, and kept',
    on: ['gRPC', 'HTTP protobuf'],
    async show(context) {
      const item = concat(text(5, 'later'), text(99, 'new'), varint(77, 1));
      const request = concat(text(9, 'new'), resourceX(text(9, 'new'), scope(len(2, item), text(9, 'new'))));
      expect(await send(context, 'traces', request)).toMatchObject({ ok: true });
      const values = (await context.rig.stored('traces')).map(({ value }) => value.toString('hex'));
      expect(values).toContain(Buffer.from(request).toString('hex'));
    },
  },
];

/** As docs/bridge.md has it. */
export function conformanceTable(): string {
  const rows = REQUIREMENTS.map(({ section, level, says, on }) => {
    const transports = on.length === TRANSPORTS.length ? 'all' : on.join(', ');
    return `| ${section} | ${level} | ${says} | ${transports} |`;
  });
  return ['| section | | the server | shown on |', '|---|---|---|---|', ...rows].join('\n');
}
