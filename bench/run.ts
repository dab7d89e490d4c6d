/**
 * `npm run bench -- NAME [--json] [--record]`:
 *
 *     kernels   [--only NAME,…] [--rounds N] [--clock wall|cpu] [--plot]
 *     pipeline  [--spans 10,100,512] [--shards 16,64,256] [--codecs NAME,…] [--workers 1,2] (or `all`, each)
 *               [--collector] [--total SPANS] [--rounds N]
 *     rebalance [--seconds N] [--plot]
 *     failover  [--rounds N]
 *     bridge    [--rounds N]
 *     soak      [--minutes N] [--role process|bridge]
 */
import { parseArgs } from 'node:util';
import { type Row, record, replaceSection, table } from './rows.ts';

interface Benchmark {
  run(options: Record<string, string | boolean | undefined>, say: (text: string) => void): Promise<readonly Row[]>;
  /** Its rows in a form of its own. Absent: one line a row. */
  table?(rows: readonly Row[]): string;
  /** What README.md shows of them, in its section `<!-- NAME -->`. Absent: nothing. */
  shortTable?(rows: readonly Row[]): string;
  /** What RESULTS.md says below the table. */
  notes?(rows: readonly Row[]): string;
}

const BENCHMARKS: Readonly<Record<string, () => Promise<Benchmark>>> = {
  kernels: () => import('./kernels/suite.ts'),
  pipeline: () => import('./pipeline/suite.ts'),
  bridge: () => import('./bridge/suite.ts'),
  rebalance: () => import('./rebalance/suite.ts'),
  failover: () => import('./failover/suite.ts'),
  soak: () => import('./soak/suite.ts'),
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    plot: { type: 'boolean', default: false },
    spans: { type: 'string' },
    seconds: { type: 'string' },
    shards: { type: 'string' },
    codecs: { type: 'string' },
    workers: { type: 'string' },
    collector: { type: 'boolean', default: false },
    total: { type: 'string' },
    minutes: { type: 'string' },
    role: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    clock: { type: 'string' },
  },
});
const [name = ''] = positionals;
const load = BENCHMARKS[name];
if (!load) {
  console.error(`bench: say which: npm run bench -- ${Object.keys(BENCHMARKS).join('|')} [--json] [--record]`);
  process.exit(1);
}
if (values.only !== undefined && (values.record || values.plot)) {
  console.error('bench: --record and --plot show all kernels: leave --only out');
  process.exit(1);
}
const benchmark = await load();
const rows = await benchmark.run(values, (text) => console.error(text));
const shown = (benchmark.table ?? table)(rows);
console.log(values.json ? JSON.stringify(rows, null, 1) : shown);
if (values.record) {
  record(name, `npm run bench -- ${process.argv.slice(2).join(' ')}`, shown, benchmark.notes?.(rows));
  if (benchmark.shortTable)
    replaceSection(new URL('../README.md', import.meta.url), name, `${benchmark.shortTable(rows)}\n`);
}
