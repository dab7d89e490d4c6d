/** Rows of cells as aligned columns, two blanks apart; numbers to the right. Ends with a line break unless empty. */
export function table(rows: readonly (readonly (string | number)[])[], head?: readonly string[]): string {
  const lines: (readonly (string | number)[])[] = head ? [head, ...rows] : [...rows];
  const columns = Math.max(0, ...lines.map((line) => line.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...lines.map((line) => String(line[column] ?? '').length)),
  );
  const right = widths.map((_, column) => rows.length > 0 && rows.every((row) => isNumeric(row[column])));
  return lines
    .map((line) =>
      line
        .map((cell, column) => String(cell)[right[column] ? 'padStart' : 'padEnd'](widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

const isNumeric = (cell: string | number | undefined): boolean =>
  typeof cell === 'number' || (typeof cell === 'string' && /^(-|[\d,.]+( ?[kMG]?B?(\/s)?|%)?)$/.test(cell));
