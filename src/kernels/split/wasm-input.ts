/**
 * Brings the values of a call into the input region and tells the kernel where they lie: RECORDS in assembly/arena.ts, whose
 * lengths the plan writes, and whose addresses the copy.
 */
import type { KernelHost } from '../host.ts';
import { CALL_BOUNDS, MAX_GROUPS, type SplitInput } from './kernel.ts';

/** Fields of a row of RECORDS, u32: address, bytes, group, status. */
export const RECORD_WORDS = 4;
const NULL_VALUE = 0xffffffff;

export interface CopyPlan {
  /** Records of this call: the others would cross CALL_BOUNDS. */
  readonly records: number;
  /** Bytes that the copies take in the input region. */
  readonly bytes: number;
  /** Whether a value lies in the kernel's memory already. */
  readonly own: boolean;
  /** The stretch of the one buffer that all values lie in, if it is not much larger than they are. */
  readonly piece: Uint8Array | null;
}

/** What lies between the values of one fetch response, record headers and the like, is copied along up to this share. */
const GAPS_SHARE = 0.25;

export function copyPlan(host: KernelHost, values: SplitInput['values']): CopyPlan {
  let records = 0;
  let bytes = 0;
  let own = false;
  let buffer: ArrayBufferLike | null | undefined;
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  let total = 0;
  const kernelBuffer = host.u8.buffer;
  const { u32 } = host;
  let word = host.exports.RECORDS.value / 4;
  for (const value of values) {
    const length = value?.length ?? 0;
    if (records === CALL_BOUNDS.records || total + length > CALL_BOUNDS.inputBytes) break;
    records++;
    total += length;
    u32[word + 1] = value === null ? NULL_VALUE : length;
    word += RECORD_WORDS;
    if (!value || length === 0) continue;
    const { buffer: valueBuffer, byteOffset } = value;
    if (valueBuffer === kernelBuffer) {
      own = true;
      continue;
    }
    bytes += length;
    buffer = buffer === undefined || buffer === valueBuffer ? valueBuffer : null;
    // For the case that all lie in one piece; modulo 2^32, as addresses are.
    u32[word - RECORD_WORDS] = byteOffset;
    from = Math.min(from, byteOffset);
    to = Math.max(to, byteOffset + length);
  }
  if (buffer && to - from <= bytes * (1 + GAPS_SHARE)) {
    return { records, own, bytes: to - from, piece: new Uint8Array(buffer, from, to - from) };
  }
  return { records, own, bytes, piece: null };
}

/** After its plan, and nothing else in between. */
export function copyIn(host: KernelHost, { values, groups }: SplitInput, plan: CopyPlan): void {
  const { u8, u32, input, exports } = host;
  if (plan.piece) u8.set(plan.piece, input.at);
  // What the plan has noted are places in the piece's buffer.
  const moved = plan.piece ? input.at - plan.piece.byteOffset : 0;
  let next = input.at;
  let word = exports.RECORDS.value / 4;
  for (let record = 0; record < plan.records; record++, word += RECORD_WORDS) {
    const group = groups ? groups[record]! : 0;
    if (group >= MAX_GROUPS) throw new RangeError(`record ${record} is of group ${group}, but there are ${MAX_GROUPS}`);
    u32[word + 2] = group;
    if (plan.piece && !plan.own) {
      if (u32[word + 1]! > 0) u32[word]! += moved;
      else u32[word] = input.at;
      continue;
    }
    const value = values[record]!;
    if (value === null) continue;
    if (plan.own && host.owns(value)) u32[word] = value.byteOffset;
    else if (value.length === 0) u32[word] = input.at;
    else if (plan.piece) u32[word] = input.at + value.byteOffset - plan.piece.byteOffset;
    else {
      u8.set(value, next);
      u32[word] = next;
      next += value.length;
    }
  }
}
