/** A refused record as it goes to the dead letter topic: its bytes unchanged, with headers that say where it came from and why. */
import type { Headers, Poll, Value } from '../kafka/port.ts';
import { RECORD_STATUS, type RecordStatus } from '../kernels/split/kernel.ts';
import { headerBytes } from './kept-headers.ts';
import { header, sourceOf } from './record-headers.ts';

export type DeadLetterReason = Exclude<keyof typeof RECORD_STATUS, 'ok'>;

export interface DeadLetter {
  readonly value: Value;
  readonly headers: Headers;
  readonly reason: DeadLetterReason;
}

const reasons = new Map(Object.entries(RECORD_STATUS).map(([name, status]) => [status, name as DeadLetterReason]));

/**
 * `value` is a view into the poll. A record of more than `maxValueBytes` is cut, and loses its own headers, which may be what
 * made it too large: `weir-cut-from` then gives its length, and `weir-source` says where the whole of it is.
 */
export function deadLetter(poll: Poll, index: number, status: RecordStatus, maxValueBytes: number): DeadLetter {
  const reason = reasons.get(status);
  if (reason === undefined || status === RECORD_STATUS.ok) throw new RangeError(`no refusal: status ${status}`);
  const value = poll.value(index);
  const own: Headers = [header('weir-reason', reason), header('weir-source', sourceOf(poll, poll.offset(index)))];
  const original = poll.headers(index);
  const valueBytes = value?.length ?? 0;
  if (valueBytes + headerBytes(original) <= maxValueBytes) return { value, headers: [...own, ...original], reason };
  return {
    value: value?.subarray(0, maxValueBytes) ?? null,
    headers: [...own, header('weir-cut-from', valueBytes)],
    reason,
  };
}
