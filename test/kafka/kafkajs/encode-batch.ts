import { encodeHeaders, type ProducerIdentity, writeBatch } from '../../../src/kafka/kafkajs/outgoing-batch.ts';
import { RequestWriter } from '../../../src/kafka/kafkajs/request-writer.ts';
import type { Headers, Value } from '../../../src/kafka/port.ts';

const LENGTH_BYTES = 4;

/** The bytes of one batch, joined. */
export function encodeBatch(
  records: ReadonlyArray<{ value: Value; key: Value; headers: Headers }>,
  identity: ProducerIdentity,
  options: Parameters<typeof writeBatch>[3],
): Buffer {
  const out = new RequestWriter();
  writeBatch(
    out,
    records.map((record) => ({ ...record, headers: encodeHeaders(record.headers) })),
    identity,
    options,
  );
  return Buffer.concat(out.pieces()).subarray(LENGTH_BYTES);
}
