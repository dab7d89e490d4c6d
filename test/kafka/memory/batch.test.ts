import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { batchBytes, type RecordToAppend } from '../../../src/kafka/memory/batch.ts';

// kafkajs's own encoder: brokers take what it writes, so its sizes are those that a broker sees.
const require = createRequire(import.meta.url);
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0/index.js') as {
  RecordBatch: (batch: object) => Promise<{ buffer: Buffer }>;
};
const encodeRecord = require('kafkajs/src/protocol/recordBatch/record/v0/index.js') as (record: object) => unknown;

async function encodedBytes(records: readonly RecordToAppend[]): Promise<number> {
  const encoded = records.map(({ key, value, headers }, offsetDelta) =>
    encodeRecord({
      offsetDelta,
      key: key && Buffer.from(key),
      value: value && Buffer.from(value),
      headers: Object.fromEntries((headers ?? []).map(([name, bytes]) => [name, Buffer.from(bytes)])),
    }),
  );
  return (await RecordBatch({ records: encoded })).buffer.length;
}

describe('batchBytes', () => {
  it('is what a batch takes on the wire, and what a broker compares with max.message.bytes', async () => {
    const value = (bytes: number) => new Uint8Array(bytes);
    const batches: RecordToAppend[][] = [
      [{ value: value(0) }],
      [{ value: null, key: value(3) }],
      [{ value: value(63) }, { value: value(64) }, { value: value(8_191) }, { value: value(8_192) }],
      Array.from({ length: 200 }, (_, i) => ({ value: value(i) })),
      [
        {
          value: value(1),
          key: value(0),
          headers: [
            ['weir-source', value(100)],
            ['größe', value(0)],
          ],
        },
      ],
      [{ value: value(1_100_000) }],
    ];
    for (const batch of batches) expect(batchBytes(batch)).toBe(await encodedBytes(batch));
  });
});
