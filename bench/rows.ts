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
  readonly goal?: Goal;
  readonly verdict?: Verdict;
}

/** What the row's ratio (or value) has to reach. */
export interface Goal {
  /** Absent: it would be good, but need not be. */
  readonly must?: number;
  readonly aim?: number;
  /** Absent: of the ratio. */
  readonly of?: 'ratio' | 'value';
}

export type Verdict = 'aim met' | 'met' | 'aim missed' | 'missed' | 'not measurable here';

export function verdictOf(reached: number, { must, aim }: Goal): Verdict {
  if (aim !== undefined && reached >= aim) return 'aim met';
  if (must === undefined) return 'aim missed';
  return reached >= must ? 'met' : 'missed';
}

/** Three digits, thousands whole; nothing for nothing. */
export const rounded = (value: number | undefined): string =>
  value === undefined
    ? ''
    : value >= 1_000
      ? Math.round(value).toLocaleString('en')
      : String(Number(value.toPrecision(3)));

function columns(row: Row): string[] {
  return [row.case, rounded(row.value), row.unit, row.peer ?? '', rounded(row.peer_value), rounded(row.ratio)];
}

function goalColumns({ goal, verdict, unit }: Row): string[] {
  const shown = (value: number | undefined) =>
    value === undefined ? '' : `${rounded(value)}${goal?.of === 'value' ? ` ${unit}` : 'x'}`;
  return [shown(goal?.must), shown(goal?.aim), verdict ?? ''];
}

/** A Markdown table; with names where they differ, and goals and verdicts where a row has them. */
export function table(rows: readonly Row[]): string {
  const names = rows.some(({ name }) => name !== rows[0]!.name);
  const goals = rows.some((row) => row.goal);
  const line = (name: string, own: readonly string[], goal: readonly string[]) => [
    ...(names ? [name] : []),
    ...own,
    ...(goals ? goal : []),
  ];
  const head = line('name', ['case', 'value', 'unit', 'peer', 'peer value', 'ratio'], ['must', 'aim', '']);
  const rule = line('---', ['---', '---:', '---', '---', '---:', '---:'], ['---:', '---:', '---']);
  const lines = rows.map((row) => line(row.name, columns(row), goalColumns(row)));
  return [head, rule, ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** What the figures were measured on. */
export function machine(): string {
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${processor}, ${cpus().length} cores, ${memory}; Node ${process.version}, ${process.platform} ${process.arch}`;
}

/** Replaces one benchmark's section of RESULTS.md. */
export function record(benchmark: string, command: string, shown: string, notes: string): void {
  const date = new Date().toISOString().slice(0, 10);
  const body = `Machine: ${machine()}; ${date}\nCommand: \`${command}\`\n\n${shown}\n${notes ? `\n${notes}\n` : ''}`;
  replaceSection(new URL('RESULTS.md', import.meta.url), benchmark, body);
}

/** Replaces what stands between `<!-- name -->` and `<!-- /name -->` of a file. */
export function replaceSection(file: URL, name: string, body: string): void {
  const before = readFileSync(file, 'utf8');
  const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const from = before.indexOf(start);
  const to = before.indexOf(end);
  if (from === -1 || to === -1) throw new Error(`${file.pathname} has no section ${start} … ${end}`);
  writeFileSync(file, `${before.slice(0, from)}${start}\n${body}${before.slice(to)}`);
}
