/**
 * The request definitions that are Weir's own, against kafkajs's encoders and decoders: of the same version where kafkajs
 * has it, else of its highest one, whose bytes plus the added fields are what is sent.
 */
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fetchRequest } from '../../../src/kafka/kafkajs/fetch-request.ts';
import { type Protocol, requestOf } from '../../../src/kafka/kafkajs/internals.ts';
import { offsetFetchRequest } from '../../../src/kafka/kafkajs/offset-fetch-request.ts';
import { encodeHeaders } from '../../../src/kafka/kafkajs/outgoing-batch.ts';
import { produceRequest } from '../../../src/kafka/kafkajs/produce-request.ts';
import { txnOffsetCommitRequest } from '../../../src/kafka/kafkajs/txn-offset-commit-request.ts';
import {
  type Field,
  OFFSET_FETCH_ANSWER,
  TXN_OFFSET_COMMIT_ANSWER,
  toClassic,
  toFlexible,
} from './flexible-to-classic.ts';

interface KafkajsRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  encode(): Promise<{ buffer: Buffer }>;
}
const require = createRequire(import.meta.url);
const kafkajs = (request: string, version: number) => ({
  request: require(`kafkajs/src/protocol/requests/${request}/v${version}/request`) as (
    options: object,
  ) => KafkajsRequest,
  decode: (
    require(`kafkajs/src/protocol/requests/${request}/v${version}/response`) as {
      decode(bytes: Buffer): Promise<unknown>;
    }
  ).decode,
});
const Encoder = require('kafkajs/src/protocol/encoder');
const Decoder = require('kafkajs/src/protocol/decoder');
const Long = require('kafkajs/src/utils/long');

/** Of each request, and of each answer. */
const RUNS = { seed: 20_261_124, numRuns: 1_000 };

/** An encoder's bytes, or pieces that go out one after the other. */
async function bodyOf({ request }: Protocol<unknown>): Promise<Buffer> {
  const body: unknown = await request.encode();
  return Array.isArray(body) ? Buffer.concat(body) : (body as { buffer: Buffer }).buffer;
}

const name = fc.oneof(fc.string({ maxLength: 20 }), fc.string({ unit: 'grapheme', maxLength: 9 }));
const longName = fc.oneof({ weight: 9, arbitrary: name }, { weight: 1, arbitrary: fc.constant('n'.repeat(20_000)) });
const int32 = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const int16 = fc.integer({ min: 0, max: 2 ** 15 - 1 });
const int64 = fc.bigInt({ min: -1n, max: 2n ** 63n - 1n });
/** Topics with partitions, each name once, as a request has them. */
const topics = <T>(partition: fc.Arbitrary<T>) =>
  fc.uniqueArray(fc.record({ topic: name, partitions: fc.array(partition, { minLength: 1, maxLength: 5 }) }), {
    selector: ({ topic }) => topic,
    maxLength: 4,
  });
const flat = <T>(of: readonly { topic: string; partitions: readonly T[] }[]) =>
  of.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, ...partition })));

describe('Fetch v11', () => {
  const theirs = kafkajs('fetch', 11);

  it('has the bytes of kafkajs, partitions of a topic together', async () => {
    const partition = fc.record({ partition: int32, offset: fc.maxSafeNat(), maxBytes: int32 });
    const request = fc.record({
      isolation: fc.constantFrom('read_committed' as const, 'read_uncommitted' as const),
      maxWaitMs: int32,
      maxBytes: int32,
      topics: topics(partition),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ isolation, maxWaitMs, maxBytes, topics }) => {
        const ours = fetchRequest({ isolation, maxWaitMs, maxBytes, partitions: flat(topics) });
        const expected = theirs.request({
          replicaId: -1,
          isolationLevel: isolation === 'read_committed' ? 1 : 0,
          maxWaitTime: maxWaitMs,
          minBytes: 1,
          maxBytes,
          topics: topics.map(({ topic, partitions }) => ({
            topic,
            partitions: partitions.map(({ offset, ...rest }) => ({ ...rest, fetchOffset: offset })),
          })),
        });
        expect(ours.request).toMatchObject({ apiKey: expected.apiKey, apiVersion: 11, apiName: expected.apiName });
        expect(await bodyOf(ours)).toEqual((await expected.encode()).buffer);
      }),
      RUNS,
    );
  });

  it('answers what kafkajs reads in its bytes, the records left as they are', async () => {
    const aborted = fc.record({ producerId: int64, firstOffset: fc.maxSafeNat() });
    const partition = fc.record({
      partition: int32,
      errorCode: int16,
      watermarks: fc.tuple(int64, int64, int64),
      aborted: fc.option(fc.array(aborted, { maxLength: 3 })),
      records: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 2 ** 31 - 1 }),
        int16,
        topics(partition),
        async (throttleMs, errorCode, answered) => {
          // kafkajs throws over UNSUPPORTED_VERSION before it reads on.
          fc.pre(errorCode !== 35);
          const batches = new Map<object, Buffer>();
          const payload = new Encoder().writeInt32(throttleMs).writeInt16(errorCode).writeInt32(0);
          payload.writeInt32(answered.length);
          for (const { topic, partitions } of answered) {
            payload.writeString(topic).writeInt32(partitions.length);
            for (const each of partitions) {
              payload.writeInt32(each.partition).writeInt16(each.errorCode);
              for (const watermark of each.watermarks) payload.writeInt64(Long.fromValue(String(watermark)));
              payload.writeInt32(each.aborted?.length ?? -1);
              for (const { producerId, firstOffset } of each.aborted ?? [])
                payload.writeInt64(Long.fromValue(String(producerId))).writeInt64(firstOffset);
              const batch = each.records.length > 0 ? await recordBatch(each.records) : Buffer.alloc(0);
              batches.set(each, batch);
              payload.writeInt32(-1).writeBytes(batch);
            }
          }
          const ours = await fetchRequest({ isolation: 'read_committed', maxWaitMs: 1, maxBytes: 1, partitions: [] });
          const read = await ours.decode(payload.buffer);
          const expected = (await theirs.decode(payload.buffer)) as {
            clientSideThrottleTime: number;
            errorCode: number;
            responses: Array<{
              topicName: string;
              partitions: Array<{
                partition: number;
                errorCode: number;
                abortedTransactions: Array<{ producerId: string; firstOffset: string }>;
                messages: unknown[];
              }>;
            }>;
          };
          expect([read.throttleMs, read.errorCode]).toEqual([expected.clientSideThrottleTime, expected.errorCode]);
          const flattened = expected.responses.flatMap(({ topicName, partitions }) =>
            partitions.map((each) => ({ topic: topicName, ...each })),
          );
          expect(
            read.partitions.map(({ topic, partition, errorCode, aborted }) => ({
              topic,
              partition,
              errorCode,
              aborted: aborted.map((each) => `${each.producerId} ${each.firstOffset}`),
            })),
          ).toEqual(
            flattened.map(({ topic, partition, errorCode, abortedTransactions }) => ({
              topic,
              partition,
              errorCode,
              aborted: abortedTransactions.map((each) => `${each.producerId} ${each.firstOffset}`),
            })),
          );
          const sent = answered.flatMap(({ partitions }) => partitions);
          for (const [i, { records }] of read.partitions.entries()) {
            expect(Buffer.from(records)).toEqual(batches.get(sent[i]!));
            expect(flattened[i]!.messages.length).toBe(sent[i]!.records.length);
          }
        },
      ),
      RUNS,
    );
  });
});

async function recordBatch(values: readonly Uint8Array[]): Promise<Buffer> {
  const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0');
  const Record = require('kafkajs/src/protocol/recordBatch/record/v0');
  const records = values.map((value, offsetDelta) => Record({ offsetDelta, value: Buffer.from(value) }));
  return (await RecordBatch({ records, lastOffsetDelta: records.length - 1 })).buffer.subarray(0);
}

describe('Produce v7', () => {
  const theirs = kafkajs('produce', 7);
  const value = fc.option(fc.uint8Array({ maxLength: 60 }));
  const record = fc.record({
    value,
    key: value,
    // kafkajs has headers in an object, where names that look like numbers come first.
    headers: fc.uniqueArray(
      fc.tuple(
        fc.string({ maxLength: 8 }).map((text) => `h${text}`),
        fc.uint8Array({ maxLength: 9 }),
      ),
      {
        selector: ([header]) => header,
        maxLength: 3,
      },
    ),
  });
  const partition = fc.record({
    partition: int32,
    firstSequence: int32,
    records: fc.array(record, { minLength: 1, maxLength: 6 }),
  });

  it('has the bytes of kafkajs, with the record batches in it', async () => {
    const request = fc.record({
      transactionalId: fc.option(name.filter((id) => id !== '')),
      timeoutMs: int32,
      identity: fc.record({ producerId: int64, producerEpoch: int16 }),
      // Milliseconds of this century.
      timestampMs: fc.integer({ min: 1_000_000_000_000, max: 4_000_000_000_000 }),
      topics: topics(partition),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ transactionalId, timeoutMs, identity, timestampMs, topics }) => {
        const batches = flat(topics).map(({ records, ...batch }) => ({
          ...batch,
          records: records.map((record) => ({ ...record, headers: encodeHeaders(record.headers) })),
          identity,
          timestampMs,
        }));
        const ours = produceRequest({ transactionalId, timeoutMs, compression: 'none', batches });
        const expected = theirs.request({
          acks: -1,
          timeout: timeoutMs,
          transactionalId,
          producerId: Long.fromValue(String(identity.producerId)),
          producerEpoch: identity.producerEpoch,
          topicData: topics.map(({ topic, partitions }) => ({
            topic,
            partitions: partitions.map(({ partition, firstSequence, records }) => ({
              partition,
              firstSequence,
              messages: records.map(({ value, key, headers }) => ({
                value: value && Buffer.from(value),
                key: key && Buffer.from(key),
                headers: Object.fromEntries(headers.map(([header, bytes]) => [header, Buffer.from(bytes)])),
                timestamp: timestampMs,
              })),
            })),
          })),
        });
        expect(ours.request).toMatchObject({ apiKey: expected.apiKey, apiVersion: 7, apiName: expected.apiName });
        expect(withoutLeaderEpochs(await bodyOf(ours))).toEqual((await expected.encode()).buffer);
      }),
      RUNS,
    );
  });

  it('answers what kafkajs reads in its bytes', async () => {
    const answered = topics(fc.record({ partition: int32, errorCode: int16, offsets: fc.tuple(int64, int64, int64) }));
    await fc.assert(
      fc.asyncProperty(answered, async (answered) => {
        const payload = new Encoder().writeInt32(answered.length);
        for (const { topic, partitions } of answered) {
          payload.writeString(topic).writeInt32(partitions.length);
          for (const { partition, errorCode, offsets } of partitions) {
            payload.writeInt32(partition).writeInt16(errorCode);
            for (const offset of offsets) payload.writeInt64(Long.fromValue(String(offset)));
          }
        }
        payload.writeInt32(0);
        const expected = (await theirs.decode(payload.buffer)) as {
          topics: Array<{ topicName: string; partitions: Array<{ partition: number; errorCode: number }> }>;
        };
        const ours = produceRequest({ transactionalId: null, timeoutMs: 1, compression: 'none', batches: [] });
        expect(await ours.decode(payload.buffer)).toEqual(
          expected.topics.flatMap(({ topicName, partitions }) =>
            partitions.map(({ partition, errorCode }) => ({ topic: topicName, partition, errorCode })),
          ),
        );
      }),
      RUNS,
    );
  });
});

/** Weir says -1 as Java's client does, kafkajs 0; the broker fills it in, and the checksum does not cover it. */
function withoutLeaderEpochs(produce: Buffer): Buffer {
  const body = Buffer.from(produce);
  const decoder = new Decoder(body);
  decoder.readString();
  decoder.offset += 2 + 4;
  for (let topics = decoder.readInt32(); topics > 0; topics--) {
    decoder.readString();
    for (let partitions = decoder.readInt32(); partitions > 0; partitions--) {
      decoder.offset += 4;
      const length = decoder.readInt32();
      body.writeInt32BE(body.readInt32BE(decoder.offset + 12) + 1, decoder.offset + 12);
      decoder.offset += length;
    }
  }
  return body;
}

/** Tagged fields that this version of Weir knows nothing of. */
const tagged = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 3 }).map((values) => {
  const encoder = new Encoder().writeUVarInt(values.length);
  for (const [tag, value] of values.entries()) {
    encoder.writeUVarInt(tag).writeUVarInt(value.length);
    encoder.writeBufferInternal(Buffer.from(value));
  }
  return encoder.buffer as Buffer;
});

describe('OffsetFetch v7', () => {
  const theirs = kafkajs('offsetFetch', 4);
  const REQUEST: readonly Field[] = ['string', { array: ['string', { array: [4] }] }, { added: 1 }];

  it('has the bytes of kafkajs in version 4, and requireStable', async () => {
    const request = fc.record({
      groupId: longName,
      topic: name,
      partitions: fc.array(int32, { maxLength: 200 }),
      requireStable: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ groupId, topic, partitions, requireStable }) => {
        const ours = offsetFetchRequest({ groupId, topic, partitions, requireStable });
        const expected = theirs.request({
          groupId,
          topics: [{ topic, partitions: partitions.map((partition) => ({ partition })) }],
        });
        expect(ours.request).toMatchObject({ apiKey: expected.apiKey, apiVersion: 7, apiName: expected.apiName });
        const { classic, added } = toClassic(await bodyOf(ours), REQUEST);
        expect(classic).toEqual((await expected.encode()).buffer);
        expect(added).toEqual([requireStable ? '01' : '00']);
      }),
      RUNS,
    );
  });

  it('answers what kafkajs reads in the bytes of version 4, and passes over tags and leader epochs', async () => {
    const partition = fc.record({ partition: int32, offset: int64, metadata: fc.option(longName), errorCode: int16 });
    await fc.assert(
      fc.asyncProperty(topics(partition), int16, tagged, async (answered, errorCode, tags) => {
        const payload = new Encoder().writeInt32(0).writeInt32(answered.length);
        for (const { topic, partitions } of answered) {
          payload.writeString(topic).writeInt32(partitions.length);
          for (const each of partitions) {
            payload.writeInt32(each.partition).writeInt64(Long.fromValue(String(each.offset)));
            payload.writeString(each.metadata).writeInt16(each.errorCode);
          }
        }
        payload.writeInt16(errorCode);
        const expected = (await theirs.decode(payload.buffer)) as {
          errorCode: number;
          responses: Array<{
            partitions: Array<{ partition: number; offset: string; metadata: string | null; errorCode: number }>;
          }>;
        };
        const ours = offsetFetchRequest({ groupId: '', topic: '', partitions: [], requireStable: true });
        const flexible = toFlexible(payload.buffer, OFFSET_FETCH_ANSWER, tags, () => Buffer.from('00000005', 'hex'));
        expect(await ours.decode(flexible)).toEqual({
          errorCode: expected.errorCode,
          offsets: expected.responses
            .flatMap(({ partitions }) => partitions)
            .map(({ offset, metadata, ...rest }) => ({ ...rest, offset: BigInt(offset), metadata: metadata ?? '' })),
        });
      }),
      RUNS,
    );
  });
});

describe('TxnOffsetCommit v3', () => {
  const theirs = kafkajs('txnOffsetCommit', 1);
  const REQUEST: readonly Field[] = [
    'string',
    'string',
    8,
    2,
    { added: 4 },
    { added: 'string' },
    { added: 'string' },
    { array: ['string', { array: [4, 8, { added: 4 }, 'string'] }] },
  ];

  it('has the bytes of kafkajs in version 1, generation, member, instance, and no leader epoch', async () => {
    const partition = fc.record({ partition: int32, offset: int64, metadata: fc.option(longName, { nil: undefined }) });
    const request = fc.record({
      transactionalId: longName,
      groupId: name,
      producerId: int64,
      producerEpoch: int16,
      tenure: fc.option(fc.record({ generation: int32, memberId: longName, instanceId: fc.option(name) }), {
        nil: undefined,
      }),
      topics: topics(partition),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ topics, tenure, ...rest }) => {
        const ours = txnOffsetCommitRequest({ ...rest, tenure, offsets: flat(topics) });
        const expected = theirs.request({
          ...rest,
          producerId: Long.fromValue(String(rest.producerId)),
          topics: topics.map(({ topic, partitions }) => ({
            topic,
            partitions: partitions.map(({ partition, offset, metadata = '' }) => ({
              partition,
              offset: Long.fromValue(String(offset)),
              metadata,
            })),
          })),
        });
        expect(ours.request).toMatchObject({ apiKey: expected.apiKey, apiVersion: 3, apiName: expected.apiName });
        const { classic, added } = toClassic(await bodyOf(ours), REQUEST);
        expect(classic).toEqual((await expected.encode()).buffer);
        const { generation, memberId, instanceId } = tenure ?? { generation: -1, memberId: '', instanceId: null };
        const leaderEpochs = flat(topics).map(() => 'ffffffff');
        expect(added).toEqual([
          (generation >>> 0).toString(16).padStart(8, '0'),
          memberId,
          instanceId,
          ...leaderEpochs,
        ]);
      }),
      RUNS,
    );
  });

  it('answers what kafkajs reads in the bytes of version 1, and passes over tags', async () => {
    const partition = fc.record({ partition: int32, errorCode: int16 });
    await fc.assert(
      fc.asyncProperty(topics(partition), tagged, async (answered, tags) => {
        const payload = new Encoder().writeInt32(0).writeInt32(answered.length);
        for (const { topic, partitions } of answered) {
          payload.writeString(topic).writeInt32(partitions.length);
          for (const each of partitions) payload.writeInt32(each.partition).writeInt16(each.errorCode);
        }
        const expected = (await theirs.decode(payload.buffer)) as { topics: typeof answered };
        const ours = txnOffsetCommitRequest({
          transactionalId: '',
          groupId: '',
          producerId: 0n,
          producerEpoch: 0,
          tenure: undefined,
          offsets: [],
        });
        const flexible = toFlexible(payload.buffer, TXN_OFFSET_COMMIT_ANSWER, tags, () => Buffer.alloc(0));
        expect(await ours.decode(flexible)).toEqual({ partitions: flat(expected.topics) });
      }),
      RUNS,
    );
  });
});

describe('a request of kafkajs', () => {
  it.each([
    ['JoinGroup', { sessionTimeout: 1, rebalanceTimeout: 1, protocolType: 'consumer', groupProtocols: [] }],
    ['SyncGroup', { generationId: 1, groupAssignment: [] }],
    ['Heartbeat', { groupGenerationId: 1 }],
    ['LeaveGroup', {}],
  ] as const)('%s carries the instance id, and without one says so', async (request, options) => {
    const body = (groupInstanceId: string | null) =>
      bodyOf(requestOf(request, { groupId: 'g', memberId: 'm', groupInstanceId, ...options }));
    const [named, nameless] = [await body('instance-7'), await body(null)];
    expect(named.includes('instance-7')).toBe(true);
    expect(named.length - nameless.length).toBe('instance-7'.length);
  });
});
