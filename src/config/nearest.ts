/** The one of `names` that a typing mistake most likely turned into `typed`; undefined when all are more than `most` edits away. */
export function nearest(
  typed: string,
  names: readonly string[],
  most = Math.max(1, Math.floor(typed.length / 4)),
): string | undefined {
  let best: string | undefined;
  let bestEdits = most + 1;
  for (const name of names) {
    const edits = editDistance(typed.toLowerCase(), name.toLowerCase(), bestEdits);
    if (edits < bestEdits) [best, bestEdits] = [name, edits];
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours; `limit` or more is returned as some number >= limit. */
export function editDistance(a: string, b: string, limit = Number.POSITIVE_INFINITY): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let edits = Math.min(replaced, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        edits = Math.min(edits, (beforeLast[j - 2] ?? 0) + 1);
      row.push(edits);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
