/**
 * Kept headers (such as the tenant): records that differ in them never share a shard record. A group is one combination of
 * their values within a poll; the kernel keeps the groups apart.
 */
import type { Headers, Poll } from '../kafka/port.ts';
import { MAX_GROUPS } from '../kernels/split/kernel.ts';

/**
 * A combination with more bytes gets a call of its own. Within a call, every shard record has to leave room for the largest
 * combination: one header of megabytes would make all items around it too large.
 */
const SHARED_HEADER_BYTES = 8_192;
/** Beside a header's name and value: their lengths. */
const HEADER_OVERHEAD_BYTES = 10;

export interface HeaderGroups {
  /** Records from the front whose combinations fit into MAX_GROUPS, one above SHARED_HEADER_BYTES alone. */
  readonly count: number;
  /** Group of each of them. */
  readonly groups: Uint8Array;
  /** The kept headers of each group, in order of first appearance. */
  readonly headers: readonly Headers[];
}

const NONE: Headers = [];

/** The most bytes that the headers take in a record. */
export function headerBytes(headers: Headers): number {
  return headers.reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + value.length + HEADER_OVERHEAD_BYTES,
    0,
  );
}

/** Groups of the records [from, poll.count). A header that comes more than once counts with its first value. */
export function groupByKeptHeaders(poll: Poll, from: number, kept: readonly string[]): HeaderGroups {
  const groups = new Uint8Array(poll.count - from);
  if (kept.length === 0) return { count: groups.length, groups, headers: [NONE] };
  const ids = new Map<string, number>();
  const headers: Headers[] = [];
  let alone = false;
  for (let i = 0; i < groups.length; i++) {
    const all = poll.headers(from + i);
    const pairs: Headers =
      all.length === 0 ? NONE : kept.flatMap((name) => all.filter((header) => header[0] === name).slice(0, 1));
    const combination = pairs.map(([name, value]) => `${name}=${Buffer.from(value).toString('base64')}`).join('&');
    let id = ids.get(combination);
    if (id === undefined) {
      const large = headerBytes(pairs) > SHARED_HEADER_BYTES;
      if (headers.length === MAX_GROUPS || alone || (large && headers.length > 0)) {
        return { count: i, groups: groups.subarray(0, i), headers };
      }
      alone = large;
      id = headers.length;
      ids.set(combination, id);
      // Copies: they go out with the outputs, when the poll may have been released.
      headers.push(pairs.map(([name, value]) => [name, Uint8Array.from(value)]));
    }
    groups[i] = id;
  }
  return { count: groups.length, groups, headers };
}
