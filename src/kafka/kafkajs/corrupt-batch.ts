/** A record batch that cannot be read: how that is thrown, and what can still be told of it. Its format is in `record-batch.ts`. */
import type { CorruptBatch } from '../port.ts';
import { AT, COUNTED_FROM, HEADER_BYTES } from './record-batch.ts';

export class UnreadableBatch extends Error {
  readonly why: CorruptBatch['cause'];

  constructor(why: CorruptBatch['cause'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UnreadableBatch';
    this.why = why;
  }
}

/** `at` is where it begins in `bytes`, `position` the first offset that is wanted of it. */
export function corruptBatch(fault: UnreadableBatch, bytes: Buffer, at: number, position: number): CorruptBatch {
  const length = bytes.length - at >= COUNTED_FROM ? COUNTED_FROM + bytes.readInt32BE(at + AT.length) : 0;
  const end = length >= HEADER_BYTES && at + length <= bytes.length ? at + length : null;
  const next = end === null ? null : nextOffsetOf(bytes, at, end, position);
  return {
    cause: fault.why,
    reason: fault.message,
    offset: BigInt(position),
    nextOffset: next === null ? null : BigInt(next),
    bytes: Uint8Array.from(bytes.subarray(at, end ?? bytes.length)),
  };
}

/**
 * What its header says, if that holds together: damage may have hit it as well, and to go on too far would lose records that
 * can be read. Else where the batch behind it begins, if one came.
 */
function nextOffsetOf(bytes: Buffer, at: number, end: number, position: number): number | null {
  const baseOffset = Number(bytes.readBigInt64BE(at));
  const lastOffset = baseOffset + bytes.readInt32BE(at + AT.lastOffsetDelta);
  const records = bytes.readInt32BE(at + AT.records);
  if (baseOffset <= position && position <= lastOffset && records === lastOffset - baseOffset + 1)
    return lastOffset + 1;
  if (end + HEADER_BYTES > bytes.length) return null;
  const following = Number(bytes.readBigInt64BE(end));
  return following > position ? following : null;
}
