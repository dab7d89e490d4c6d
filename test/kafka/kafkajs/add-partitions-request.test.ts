import { createRequire } from 'node:module';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addPartitionsRequest } from '../../../src/kafka/kafkajs/add-partitions-request.ts';

// kafkajs's own definition is the independent one.
const require = createRequire(import.meta.url);
const kafkajsRequest = require('kafkajs/src/protocol/requests/addPartitionsToTxn/v1/request');
const kafkajsResponse = require('kafkajs/src/protocol/requests/addPartitionsToTxn/v1/response');
const Encoder = require('kafkajs/src/protocol/encoder');

const topics = fc.uniqueArray(
  fc.record({
    topic: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
    partitions: fc.uniqueArray(fc.nat({ max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 5 }),
  }),
  { selector: ({ topic }) => topic, maxLength: 300 },
);

it("AddPartitionsToTxn has the bytes of kafkajs's", async () => {
  await fc.assert(
    fc.asyncProperty(topics, fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), async (asked, producerId) => {
      const { request } = addPartitionsRequest({
        transactionalId: 'weir-process.otlp_spans.3',
        identity: { producerId, producerEpoch: 7 },
        partitions: asked.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition }))),
      });
      const expected = await kafkajsRequest({
        transactionalId: 'weir-process.otlp_spans.3',
        producerId: String(producerId),
        producerEpoch: 7,
        topics: asked,
      }).encode();
      expect(Buffer.concat(request.encode() as readonly Uint8Array[])).toEqual(expected.buffer);
    }),
  );
});

it('AddPartitionsToTxn answers are read as kafkajs reads them', async () => {
  await fc.assert(
    fc.asyncProperty(topics, fc.integer({ min: -1, max: 120 }), async (asked, errorCode) => {
      const answer = new Encoder().writeInt32(0).writeInt32(asked.length);
      for (const { topic, partitions } of asked) {
        answer.writeString(topic).writeInt32(partitions.length);
        for (const partition of partitions) answer.writeInt32(partition).writeInt16(errorCode);
      }
      const { errors } = await kafkajsResponse.decode(answer.buffer);
      const { decode } = addPartitionsRequest({
        transactionalId: 'id',
        identity: { producerId: 1n, producerEpoch: 0 },
        partitions: [],
      });
      expect(await decode(answer.buffer)).toEqual(
        errors.flatMap(({ topic, partitionErrors }: { topic: string; partitionErrors: object[] }) =>
          partitionErrors.map((each) => ({ topic, ...each })),
        ),
      );
    }),
  );
});
