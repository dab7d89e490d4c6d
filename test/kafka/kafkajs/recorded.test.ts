/** Answers of Apache Kafka, recorded by recorded/record.ts, read by Weir's own definitions and by kafkajs's decoders. */
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { fetchRequest } from '../../../src/kafka/kafkajs/fetch-request.ts';
import { FetchedBatches } from '../../../src/kafka/kafkajs/fetched-batches.ts';
import { offsetFetchRequest } from '../../../src/kafka/kafkajs/offset-fetch-request.ts';
import { produceRequest } from '../../../src/kafka/kafkajs/produce-request.ts';
import { txnOffsetCommitRequest } from '../../../src/kafka/kafkajs/txn-offset-commit-request.ts';
import { OFFSET_FETCH_ANSWER, TXN_OFFSET_COMMIT_ANSWER, toClassic } from './flexible-to-classic.ts';
import recording from './recorded/answers.json' with { type: 'json' };

const require = createRequire(import.meta.url);
const theirs = (request: string, version: number) =>
  (
    require(`kafkajs/src/protocol/requests/${request}/v${version}/response`) as {
      decode(bytes: Buffer): Promise<never>;
    }
  ).decode;
const answer = (name: keyof (typeof recording)['answers']) => Buffer.from(recording.answers[name], 'base64');

describe(`of Apache Kafka ${recording.kafka}`, () => {
  describe('a Fetch answer', () => {
    const { decode } = fetchRequest({ isolation: 'read_committed', maxWaitMs: 1, maxBytes: 1, partitions: [] });

    it.each([
      // The markers behind them are at 2 and 4.
      ['read_committed', { values: ['first', null], nextOffset: 5, aborted: 1 }],
      ['read_uncommitted', { values: ['first', null, 'aborts', 'stays-open'], nextOffset: 6, aborted: 0 }],
    ] as const)('under %s has the records that kafkajs finds in it', async (isolation, expected) => {
      const payload = answer(`Fetch: ${isolation}`);
      const { errorCode, partitions } = await decode(payload);
      expect([errorCode, partitions.length]).toEqual([0, 1]);
      const [{ topic, partition, aborted, records }] = partitions as [(typeof partitions)[number]];
      expect([topic, partition, aborted.length]).toEqual(['scene', 0, expected.aborted]);
      const read = new FetchedBatches(records, 0, aborted).next();
      const values = Array.from({ length: read.count }, (_, i) => read.value(i) && String(read.value(i)));
      expect([values, read.nextOffset]).toEqual([expected.values, expected.nextOffset]);

      const kafkajs: {
        responses: [{ partitions: [{ abortedTransactions: unknown[]; messages: Array<Record<string, unknown>> }] }];
      } = await theirs('fetch', 11)(payload);
      const { abortedTransactions, messages } = kafkajs.responses[0].partitions[0];
      expect(
        aborted.map(({ producerId, firstOffset }) => ({ producerId: `${producerId}`, firstOffset: `${firstOffset}` })),
      ).toEqual(abortedTransactions);
      // kafkajs leaves it to its consumer to leave out what was aborted.
      const data = messages.filter(
        ({ isControlRecord, value }) => !isControlRecord && (aborted.length === 0 || String(value) !== 'aborts'),
      );
      expect(data.map(({ offset, value }) => [offset, value && String(value)])).toEqual(
        values.map((value, i) => [String(read.offset(i)), value]),
      );
      expect(read.headers(0).map(([name, value]) => [name, String(value)])).toEqual([['tenant', 'acme']]);
      expect(String(read.key(0))).toBe('key');
    });

    it('says that an offset is out of range', async () => {
      const { partitions } = await decode(answer('Fetch: out of range'));
      expect(partitions).toEqual([
        { topic: 'scene', partition: 0, errorCode: 1, aborted: [], records: Buffer.alloc(0) },
      ]);
    });
  });

  describe('a Produce answer', () => {
    const { decode } = produceRequest({ transactionalId: null, timeoutMs: 1, compression: 'none', batches: [] });

    it.each([
      ['Produce: stored', 0],
      ['Produce: stored in a transaction that stays open', 0],
      // INVALID_PRODUCER_EPOCH
      ['Produce: refused', 47],
    ] as const)('%s', async (name, errorCode) => {
      expect(await decode(answer(name))).toEqual([{ topic: 'scene', partition: 0, errorCode }]);
      const kafkajs: { topics: unknown } = await theirs('produce', 7)(answer(name));
      expect(kafkajs.topics).toMatchObject([{ topicName: 'scene', partitions: [{ partition: 0, errorCode }] }]);
    });
  });

  describe('an OffsetFetch answer', () => {
    const { decode } = offsetFetchRequest({ groupId: '', topic: '', partitions: [], requireStable: true });
    const stable = [
      { partition: 0, offset: 2n, metadata: 'ring=7', errorCode: 0 },
      { partition: 1, offset: -1n, metadata: '', errorCode: 0 },
    ];
    // UNSTABLE_OFFSET_COMMIT
    const unstable = [0, 1].map((partition) => ({ partition, offset: -1n, metadata: '', errorCode: 88 }));

    it.each([
      ['OffsetFetch: stable', stable],
      ['OffsetFetch: pending', stable],
      ['OffsetFetch: pending, stable ones asked for', unstable],
    ] as const)('%s', async (name, offsets) => {
      expect(await decode(answer(name))).toEqual({ errorCode: 0, offsets });
      const { classic } = toClassic(answer(name), OFFSET_FETCH_ANSWER);
      const kafkajs: { responses: unknown } = await theirs('offsetFetch', 4)(classic);
      expect(kafkajs.responses).toEqual([
        { topic: 'scene', partitions: offsets.map((each) => ({ ...each, offset: String(each.offset) })) },
      ]);
    });
  });

  describe('a TxnOffsetCommit answer', () => {
    const options = { transactionalId: '', groupId: '', producerId: 0n, producerEpoch: 0, tenure: undefined };
    const { decode } = txnOffsetCommitRequest({ ...options, offsets: [] });

    it.each([
      ['TxnOffsetCommit: done', 0],
      // ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID
      ['TxnOffsetCommit: an old generation', 22],
      ['TxnOffsetCommit: no member', 25],
      ['TxnOffsetCommit: another in its place', 82],
    ] as const)('%s', async (name, errorCode) => {
      const partitions = [0, 1].map((partition) => ({ topic: 'scene', partition, errorCode }));
      expect(await decode(answer(name))).toEqual({ partitions });
      const { classic } = toClassic(answer(name), TXN_OFFSET_COMMIT_ANSWER);
      const kafkajs: { topics: unknown } = await theirs('txnOffsetCommit', 1)(classic);
      expect(kafkajs.topics).toEqual([
        { topic: 'scene', partitions: partitions.map(({ partition }) => ({ partition, errorCode })) },
      ]);
    });
  });
});
