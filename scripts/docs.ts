/** Writes the tables of the documentation that follow from the code: `node scripts/docs.ts`. The tests check that they are as they should be. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describeSettings, settingsTable } from '../src/config/settings.ts';
import { createMetrics } from '../src/metrics.ts';

/** What README.md shows; docs/settings.md has all. */
const SET_MOST_OFTEN = [
  'prefix',
  'host',
  'kafka.brokers',
  'kafka.sessionTimeoutMs',
  'topics.ingestPartitions',
  'routing.traces.key',
  'routing.traces.shards',
  'process.workers',
  'control.capacity.bytesPerSecond',
  'log.level',
];

async function metricsTable(): Promise<string> {
  const metrics = await createMetrics().registry.getMetricsAsJSON();
  const rows = metrics.map(({ name, type, help }) => `| \`${name}\` | ${String(type)} | ${help} |`);
  return ['| metric | kind | meaning |', '|---|---|---|', ...rows, ''].join('\n');
}

/** By the path of the page: its text as it should be. */
export async function pagesWithTables(): Promise<Map<string, string>> {
  const all = describeSettings();
  const often = all.filter(({ key }) => SET_MOST_OFTEN.includes(key));
  if (often.length < SET_MOST_OFTEN.length) throw new Error('README.md is to show a setting that there is not');
  const tables = {
    'README.md': { settings: settingsTable(often), metrics: await metricsTable() },
    'docs/settings.md': { settings: settingsTable(all) },
  };
  return new Map(Object.entries(tables).map(([path, sections]) => [path, withSections(path, sections)]));
}

function withSections(path: string, sections: Readonly<Record<string, string>>): string {
  let text = readFileSync(pathOf(path), 'utf8');
  for (const [name, body] of Object.entries(sections)) {
    const [start, end] = [`<!-- ${name} -->\n`, `<!-- /${name} -->`];
    const from = text.indexOf(start);
    const to = text.indexOf(end);
    if (from === -1 || to === -1) throw new Error(`${path} has no section ${start.trim()} … ${end}`);
    text = text.slice(0, from + start.length) + body + text.slice(to);
  }
  return text;
}

const pathOf = (path: string) => new URL(`../${path}`, import.meta.url);

if (import.meta.main) for (const [path, text] of await pagesWithTables()) writeFileSync(pathOf(path), text);
