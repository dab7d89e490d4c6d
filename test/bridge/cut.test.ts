/** Requests that no one record can hold: cut by the kernel; what can never be stored is named in partial_success. */
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import grpc from '@grpc/grpc-js';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { loadRequestKernel } from '../../src/bridge/request-kernel.ts';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { SIGNALS } from '../../src/signals.ts';
import { eventually } from '../support/eventually.ts';
import * as otlp from '../support/otlp-pieces.ts';
import { asMultiset, decodeItems, differenceOf } from '../support/otlp-schema.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { exportByGrpc } from './grpc-client.ts';
import { decodePartialSuccess, decodeStatus, HeldProducer, type Rig, type RigOptions, startRig } from './rig.ts';
import { ITEMS, jsonOf, namesIn, POINTS, requestOf } from './sample-requests.ts';

const { concat, resource, resourceX, scope } = otlp;

const PROTOBUF = { 'content-type': 'application/x-protobuf' };
const SMALL_RECORDS = { config: { topics: { maxMessageBytes: 65_536 } } };

const rigs: Rig[] = [];
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});
async function ownRig(options: RigOptions = SMALL_RECORDS): Promise<Rig> {
  const rig = await startRig(options);
  rigs.push(rig);
  return rig;
}

describe.each(SIGNALS)('a request of %s over the limit of a record', (signal) => {
  it('is cut between items, its resource and scope repeated, in order, on one partition', async () => {
    const rig = await ownRig();
    const request = requestOf(signal, new Array<number>(12).fill(20_000));
    const answer = await rig.post(`/v1/${signal}`, request, PROTOBUF);
    expect(answer.status).toBe(200);
    expect(answer.body).toHaveLength(0);
    const stored = await rig.stored(signal);
    expect(stored.map(({ value }) => namesIn(signal, value).length)).toEqual([3, 3, 3, 3]);
    expect(new Set(stored.map(({ partition }) => partition)).size).toBe(1);
    const items = stored.flatMap(({ value }) => decodeItems(signal, value));
    expect(items).toEqual(decodeItems(signal, request));
  });

  it('has the items that fit nowhere named in partial_success, by every transport; the others are stored', async () => {
    const rig = await ownRig();
    const sizes = [70_000, 10, 70_000, 60_000, 20];
    const request = requestOf(signal, sizes);
    const rejected = signal === 'metrics' ? 2 * POINTS : 2;
    const errorMessage = expect.stringMatching(/^2 of 5 .*max\.message\.bytes of otlp_\w+ is 65536.*: 0, 2$/);

    const byGrpc = await exportByGrpc(rig, signal, request);
    expect(byGrpc.code).toBe(grpc.status.OK);
    expect(decodePartialSuccess(byGrpc.reply!)).toEqual({ rejected, errorMessage });
    const asProtobuf = await rig.post(`/v1/${signal}`, request, PROTOBUF);
    expect(asProtobuf.status).toBe(200);
    expect(decodePartialSuccess(asProtobuf.body)).toEqual({ rejected, errorMessage });
    const json = await rig.post(`/v1/${signal}`, jsonOf(signal, sizes), { 'content-type': 'application/json' });
    expect(json.status).toBe(200);
    const field = { traces: 'rejectedSpans', metrics: 'rejectedDataPoints', logs: 'rejectedLogRecords' }[signal];
    expect(JSON.parse(json.body.toString())).toEqual({ partialSuccess: { [field]: String(rejected), errorMessage } });

    const names = (await rig.stored(signal)).flatMap(({ value }) => namesIn(signal, value));
    expect(names.sort()).toEqual(['item 1', 'item 3', 'item 4'].flatMap((name) => [name, name, name]));
    const counted = await rig.metrics.bridgeRejected.get();
    expect(counted.values.map(({ labels, value }) => [labels.transport, value])).toEqual([
      ['grpc', rejected],
      ['http/protobuf', rejected],
      ['http/json', rejected],
    ]);
  });
});

describe('items that fit nowhere', () => {
  it('are counted through all resources of a request, and those beyond twenty not named', async () => {
    const rig = await ownRig();
    const request = concat(
      requestOf('logs', [1, 2]),
      requestOf('logs', [50_000, 70_000]),
      requestOf('logs', new Array<number>(30).fill(66_000)),
    );
    const answer = await rig.post('/v1/logs', request, PROTOBUF);
    const { rejected, errorMessage } = decodePartialSuccess(answer.body)!;
    expect(rejected).toBe(31);
    expect(errorMessage).toMatch(/: 3, 4, 5, .*, 22 and 11 more$/);
    expect((await rig.stored('logs')).flatMap(({ value }) => namesIn('logs', value))).toEqual([
      'item 0',
      'item 1',
      'item 0',
    ]);
  });

  it('may be all of them: nothing is stored, and the exporter is told', async () => {
    const rig = await ownRig();
    const answer = await rig.post('/v1/traces', requestOf('traces', [70_000]), PROTOBUF);
    expect(answer.status).toBe(200);
    expect(decodePartialSuccess(answer.body)).toMatchObject({ rejected: 1 });
    expect(await rig.stored('traces')).toEqual([]);
  });

  it('are known to the byte, kept headers included', async () => {
    const rig = await ownRig({ config: { ...SMALL_RECORDS.config, bridge: { tenantFromHeader: 'tenant' } } });
    const headers = { ...PROTOBUF, tenant: 'acme' };
    const told = await rig.post('/v1/traces', requestOf('traces', [70_000]), headers);
    const limit = Number(/the (\d+) bytes/.exec(decodePartialSuccess(told.body)!.errorMessage)![1]);
    const bytesAround = requestOf('traces', [60_000]).length - 60_000;
    const justFits = requestOf('traces', [limit - bytesAround]);
    expect(justFits).toHaveLength(limit);
    expect((await rig.post('/v1/traces', justFits, headers)).body).toHaveLength(0);
    expect((await rig.stored('traces')).map(({ value }) => value.length)).toEqual([limit]);
    const oneMore = await rig.post('/v1/traces', requestOf('traces', [limit - bytesAround + 1]), headers);
    expect(decodePartialSuccess(oneMore.body)).toMatchObject({ rejected: 1 });
  });
});

describe('a request', () => {
  it('is acknowledged once all of its records are stored, and not before', async () => {
    const held = new HeldProducer();
    const rig = await ownRig({ ...SMALL_RECORDS, wrap: () => held });
    let answered = false;
    const answer = rig.post('/v1/logs', requestOf('logs', new Array<number>(6).fill(20_000)), PROTOBUF).finally(() => {
      answered = true;
    });
    await held.called(1);
    held.calls[0]!.answer();
    await held.called(2);
    await turn();
    expect(answered).toBe(false);
    held.calls[1]!.answer();
    expect((await answer).status).toBe(200);
  });

  it('is refused for good when cutting it would repeat a large resource over and over', async () => {
    const rig = await ownRig();
    const wide = resourceX(
      resource({ wide: 'x'.repeat(60_000) }),
      scope(...Array.from({ length: 100 }, (_, n) => ITEMS.traces(`item ${n}`, 4_000))),
    );
    const answer = await rig.post('/v1/traces', wide, PROTOBUF);
    expect(answer.status).toBe(413);
    expect(answer.headers.get('retry-after')).toBeNull();
    expect(decodeStatus(answer.body).message).toContain('send smaller resources');
    expect(await exportByGrpc(rig, 'traces', wide)).toMatchObject({
      code: grpc.status.RESOURCE_EXHAUSTED,
      status: null,
    });
    expect(await rig.stored('traces')).toEqual([]);
  });

  it('is refused for good when it has more items than a processor takes at once', async () => {
    const rig = await ownRig();
    const many = resourceX(scope(new Uint8Array(Buffer.alloc(2 * 262_145, Buffer.from([0x12, 0])))));
    const answer = await rig.post('/v1/logs', many, PROTOBUF);
    expect(answer.status).toBe(413);
    expect(decodeStatus(answer.body).message).toContain('the request has 262145 logs, and may have 262144');
  });
});

describe('cutting', () => {
  it('leaves every piece within the limit, and together all items as they were', async () => {
    const kernel = await loadRequestKernel(() => undefined);
    for (const signal of SIGNALS) {
      const corpus = createCorpus({ seed: 5, signal, itemsPerRequest: 300, shape: { itemsPerResource: 70 } });
      const [request] = corpus.requests(1) as [Uint8Array];
      for (const maxBytes of [9_000, 21_000, request.length / 2, request.length - 1, request.length]) {
        const cut = await kernel.cut(signal, request, Math.floor(maxBytes));
        if (cut.kind !== 'pieces') throw new Error(cut.kind);
        expect(cut.large).toEqual([]);
        expect(Math.max(...cut.pieces.map(({ length }) => length))).toBeLessThanOrEqual(maxBytes);
        const items = cut.pieces.flatMap((piece) => decodeItems(signal, piece));
        expect(differenceOf(asMultiset(items), asMultiset(decodeItems(signal, request)))).toBeNull();
      }
    }
  });

  it('gives the memory back that a large request has taken', async () => {
    const kernel = await loadRequestKernel(() => undefined);
    const large = requestOf('logs', new Array<number>(40).fill(1_000_000));
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const externalBytes = () => {
      collect();
      return process.memoryUsage().external;
    };
    const before = externalBytes();
    const { kind } = await kernel.cut('logs', large, 8_000_000);
    expect(kind).toBe('pieces');
    await kernel.validate('logs', new Uint8Array());
    // The kernel that has split 40 MB keeps 90 MB more than a new one.
    await eventually(() => expect(externalBytes()).toBeLessThan(before + 40_000_000));
  });
});

describeOnKafka("a request as large as may be, on a topic with Kafka's own limit of 1 MiB", ({ brokers }) => {
  it('is never found too large by the broker, by gRPC or HTTP', async () => {
    const kafka = await connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' }));
    const rig = await ownRig({
      kafka,
      config: { prefix: `cut-${process.pid}-`, topics: { maxMessageBytes: 1_048_588 } },
    });
    const request = requestOf('traces', new Array<number>(640).fill(104_000));
    expect(request.length).toBeGreaterThan(63 * 1024 * 1024);
    expect(request.length).toBeLessThan(64 * 1024 * 1024);
    expect(await exportByGrpc(rig, 'traces', request)).toMatchObject({ code: grpc.status.OK, reply: Buffer.alloc(0) });
    expect((await rig.post('/v1/traces', request, PROTOBUF)).status).toBe(200);
    const names = (await rig.stored('traces')).flatMap(({ value }) => namesIn('traces', value));
    expect(names).toHaveLength(2 * 640);
    expect(new Set(names).size).toBe(640);
  });
});
