/** How records become Produce requests: in batches of a client's usual size, cut smaller where the broker refuses one. */
import { type RecordToAppend, recordBytes } from './batch.ts';
import { hasCode } from './broker-errors.ts';

/** Below Kafka's default of `max.message.bytes`; a larger record goes alone. */
const MAX_BATCH_BYTES = 1_000_000;
/** Upper bound of a batch's own header and of what offset deltas add to a record. */
const BATCH_SLACK_BYTES = 128;

/** Consecutive batches, in order. */
export function batchesOf<R extends RecordToAppend>(records: readonly R[]): R[][] {
  const batches: R[][] = [];
  let batch: R[] = [];
  let bytes = BATCH_SLACK_BYTES;
  for (const record of records) {
    const more = recordBytes(record, batch.length);
    if (batch.length > 0 && bytes + more > MAX_BATCH_BYTES) {
      batches.push(batch);
      batch = [];
      bytes = BATCH_SLACK_BYTES;
    }
    batch.push(record);
    bytes += more;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

/**
 * Appends all records, or finds those that the broker refuses for what they are. A refused batch left nothing behind and took no
 * sequence numbers, so its halves are tried, down to one record, for which `refused` is called.
 */
export async function appendCutting<R extends RecordToAppend>(
  records: readonly R[],
  append: (batch: readonly R[]) => Promise<void>,
  refused: (record: R, cause: Error) => void,
): Promise<void> {
  try {
    await append(records);
  } catch (error) {
    if (!hasCode(error, 'MESSAGE_TOO_LARGE', 'INVALID_RECORD')) throw error;
    if (records.length === 1) return refused(records[0]!, error);
    const middle = records.length >> 1;
    await appendCutting(records.slice(0, middle), append, refused);
    await appendCutting(records.slice(middle), append, refused);
  }
}
