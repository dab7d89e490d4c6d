import { type OutgoingRecord, type ProducerIdentity, writeBatch } from '../../../src/kafka/kafkajs/record-batch.ts';
import { RequestWriter } from '../../../src/kafka/kafkajs/request-writer.ts';

const LENGTH_BYTES = 4;

/** The bytes of one batch, joined. */
export function encodeBatch(
  records: readonly OutgoingRecord[],
  identity: ProducerIdentity,
  options: { firstSequence: number; transactional: boolean; timestampMs: number },
): Buffer {
  const out = new RequestWriter();
  writeBatch(out, records, identity, options);
  return Buffer.concat(out.pieces()).subarray(LENGTH_BYTES);
}
