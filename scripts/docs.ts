/** Writes the tables of README.md that follow from the code: `node scripts/docs.ts`. The tests check that they are as they should be. */
import { readFileSync, writeFileSync } from 'node:fs';
import { settingsTable } from '../src/config/settings.ts';
import { createMetrics } from '../src/metrics.ts';

const README = new URL('../README.md', import.meta.url);

async function metricsTable(): Promise<string> {
  const metrics = await createMetrics().registry.getMetricsAsJSON();
  const rows = metrics.map(({ name, type, help }) => `| \`${name}\` | ${String(type)} | ${help} |`);
  return ['| metric | kind | meaning |', '|---|---|---|', ...rows, ''].join('\n');
}

/** README.md as it should be. */
export async function readmeWithTables(): Promise<string> {
  const sections = { settings: settingsTable(), metrics: await metricsTable() };
  let text = readFileSync(README, 'utf8');
  for (const [name, body] of Object.entries(sections)) {
    const [start, end] = [`<!-- ${name} -->\n`, `<!-- /${name} -->`];
    const from = text.indexOf(start);
    const to = text.indexOf(end);
    if (from === -1 || to === -1) throw new Error(`README.md has no section ${start.trim()} … ${end}`);
    text = text.slice(0, from + start.length) + body + text.slice(to);
  }
  return text;
}

if (import.meta.main) writeFileSync(README, await readmeWithTables());
