/**
 * Kept headers (such as the tenant): records that differ in them never share a shard record. A group is one combination of
 * their values within a poll; the kernel keeps the groups apart.
 */
import type { Headers, Poll } from '../kafka/port.ts';

/** The kernel's limit for one call. */
export const MAX_GROUPS = 64;

export interface HeaderGroups {
  /** Records from the front whose combinations fit into MAX_GROUPS. */
  readonly count: number;
  /** Group of each of them. */
  readonly groups: Uint8Array;
  /** The kept headers of each group, in order of first appearance. */
  readonly headers: readonly Headers[];
}

const NONE: Headers = [];

/** Groups of the records [from, poll.count). A header that comes more than once counts with its first value. */
export function groupByKeptHeaders(poll: Poll, from: number, kept: readonly string[]): HeaderGroups {
  const groups = new Uint8Array(poll.count - from);
  if (kept.length === 0) return { count: groups.length, groups, headers: [NONE] };
  const ids = new Map<string, number>();
  const headers: Headers[] = [];
  for (let i = 0; i < groups.length; i++) {
    const all = poll.headers(from + i);
    const pairs: Headers =
      all.length === 0 ? NONE : kept.flatMap((name) => all.filter((header) => header[0] === name).slice(0, 1));
    const combination = pairs.map(([name, value]) => `${name}=${Buffer.from(value).toString('base64')}`).join('&');
    let id = ids.get(combination);
    if (id === undefined) {
      if (headers.length === MAX_GROUPS) return { count: i, groups: groups.subarray(0, i), headers };
      id = headers.length;
      ids.set(combination, id);
      headers.push(pairs);
    }
    groups[i] = id;
  }
  return { count: groups.length, groups, headers };
}
