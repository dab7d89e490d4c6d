/** What a benchmark returns, prints and records. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

export interface Row {
  readonly name: string;
  readonly case: string;
  readonly value: number;
  readonly unit: string;
  /** What it is compared with, measured in the same run. */
  readonly peer?: string;
  readonly peer_value?: number;
  /** peer_value / value where less is better, value / peer_value where more is: above 1 is in our favour. */
  readonly ratio?: number;
}

const round = (value: number | undefined) =>
  value === undefined
    ? ''
    : value >= 1_000
      ? Math.round(value).toLocaleString('en')
      : String(Number(value.toPrecision(3)));

export function table(rows: readonly Row[]): string {
  const head = '| name | case | value | unit | peer | peer value | ratio |\n|---|---|---:|---|---|---:|---:|';
  const lines = rows.map(
    (row) =>
      `| ${row.name} | ${row.case} | ${round(row.value)} | ${row.unit} | ${row.peer ?? ''} | ${round(row.peer_value)} | ${round(row.ratio)} |`,
  );
  return [head, ...lines].join('\n');
}

/** Replaces one benchmark's section of RESULTS.md. */
export function record(benchmark: string, command: string, rows: readonly Row[], notes = ''): void {
  const path = new URL('RESULTS.md', import.meta.url);
  const before = readFileSync(path, 'utf8');
  const start = `<!-- ${benchmark} -->`;
  const end = `<!-- /${benchmark} -->`;
  const machine = `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB; Node ${process.version}, ${process.platform} ${process.arch}; ${new Date().toISOString().slice(0, 10)}`;
  const section = `${start}\nMachine: ${machine}\nCommand: \`${command}\`\n\n${table(rows)}\n${notes ? `\n${notes}\n` : ''}${end}`;
  const from = before.indexOf(start);
  const to = before.indexOf(end);
  if (from === -1 || to === -1) throw new Error(`RESULTS.md has no section ${start} … ${end}`);
  writeFileSync(path, before.slice(0, from) + section + before.slice(to + end.length));
}
