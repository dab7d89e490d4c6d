/** `npm run bench -- kernels|pipeline|rebalance [--json] [--record]`; for kernels also `--only NAME,…`, `--rounds N`, `--clock wall|cpu`, `--plot`; for rebalance `--seconds N`, `--plot`. */
import { parseArgs } from 'node:util';
import { type Row, record, table } from './rows.ts';

interface Benchmark {
  run(options: Record<string, string | boolean | undefined>, say: (text: string) => void): Promise<readonly Row[]>;
  /** What RESULTS.md says below the table. */
  notes?(rows: readonly Row[]): string;
}

const BENCHMARKS: Readonly<Record<string, () => Promise<Benchmark>>> = {
  kernels: () => import('./kernels/suite.ts'),
  pipeline: () => import('./pipeline.bench.ts'),
  rebalance: () => import('./rebalance.bench.ts'),
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    plot: { type: 'boolean', default: false },
    spans: { type: 'string' },
    seconds: { type: 'string' },
    'spans-per-request': { type: 'string' },
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
console.log(values.json ? JSON.stringify(rows, null, 1) : table(rows));
if (values.record) record(name, `npm run bench -- ${process.argv.slice(2).join(' ')}`, rows, benchmark.notes?.(rows));
