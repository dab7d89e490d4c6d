/** The command line of the benchmarks: which there are, what they take, their help. What one does is loaded when it runs. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { positiveNumber, wholeNumber } from '../src/cli/numbers.ts';
import { KERNELS } from './kernels/names.ts';
import { ALL, USUAL } from './pipeline/matrix.ts';
import type { PipelineOptions } from './pipeline/suite.ts';
import { type Row, record, replaceSection, table } from './rows.ts';
import { ROLES } from './soak/roles.ts';

/** What a benchmark's module has. */
interface Suite<Options> {
  run(options: Options, say: (text: string) => void): Promise<readonly Row[]>;
  /** Its rows in a form of its own. Absent: one line a row. */
  table?(rows: readonly Row[]): string;
  /** What README.md shows of them, in its section `<!-- NAME -->`. Absent: nothing. */
  shortTable?(rows: readonly Row[]): string;
  /** What is said below the table. */
  notes?(rows: readonly Row[]): string;
}

interface OutputOptions {
  readonly json?: boolean;
  readonly record?: boolean;
}

const EXAMPLES = `
Each measures what it compares in turns, on this machine, and says how far it is on stderr. On Linux; those that want Kafka start
a real one of their own, which takes Java 17. Run them one at a time and on a machine that does nothing else.

Examples:
  npm run bench -- kernels --only split
  npm run bench -- pipeline
  npm run bench -- soak --minutes 2
  npm run --silent bench -- bridge --json > bridge.json`;

/** For the documentation's tests too. `args` are repeated in what is recorded. */
export function buildProgram(args: readonly string[]): Command {
  const program = new Command('bench')
    .description('What Weir costs, beside what people would use instead.')
    .usage('NAME [flags]')
    .helpOption('-h, --help', 'print this help; `NAME --help` that of a benchmark')
    .helpCommand(false)
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError('(`npm run bench -- --help` and `npm run bench -- NAME --help` tell what there is)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'bench: ')) })
    .configureHelp({ commandUsage: (command) => `npm run bench -- ${nameIn(command)}${command.usage()}` })
    .exitOverride();
  addKernels(program, args);
  addPipeline(program, args);
  addBridge(program, args);
  addRebalance(program, args);
  addFailover(program, args);
  addSoak(program, args);
  return program;
}

const nameIn = (command: Command) => (command.parent ? `${command.name()} ` : '');

/** What the list of benchmarks says of one, and what its own help says besides. */
interface Description {
  readonly summary: string;
  readonly takes: string;
  readonly more?: string;
  /** Without the name. */
  readonly examples: readonly string[];
}

function addBenchmark(program: Command, name: string, { summary, takes, more, examples }: Description): Command {
  const lines = examples.map((flags) => `  npm run bench -- ${name} ${flags}`.trimEnd());
  return program
    .command(name)
    .summary(`${summary}; ${takes}`)
    .description(`${summary}.\nTakes ${takes}.${more ? `\n\n${more}` : ''}`)
    .usage('[flags]')
    .option('--json', 'print JSON instead of a table')
    .option('--record', "write the table into bench/RESULTS.md, and into the README's section if it has one")
    .addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

function addKernels(program: Command, args: readonly string[]): void {
  const command = addBenchmark(program, 'kernels', {
    summary: 'the WASM kernels beside plain JS, tuned JS and libraries',
    takes: 'about 10 minutes',
    examples: ['--only split,hash --rounds 5', '--record --plot'],
  });
  command
    .option('--only <names>', `some of ${KERNELS.join(', ')}`, listOf(KERNELS))
    .option('--rounds <n>', 'how often each is measured, in turns', positiveNumber, 15)
    .addOption(new Option('--clock <name>', 'time by').choices(['wall', 'cpu']).default('wall'))
    .option('--plot', 'draw docs/kernels.svg, and show it in the README')
    .action(
      async (
        options: OutputOptions & { only?: readonly string[]; rounds: number; clock: 'wall' | 'cpu'; plot?: boolean },
      ) => {
        if (options.only && (options.record || options.plot))
          command.error('error: --record and --plot show all kernels: leave --only out');
        await print('kernels', await import('./kernels/suite.ts'), options, args);
      },
    );
}

const PIPELINE = [
  'Beside it run the OpenTelemetry Collector in two forms (built once, in some minutes, where a Go toolchain is) and the raw protocol.',
  `Lists are separated by commas, or \`all\`. One of them is varied at a time, around ${USUAL.spans} spans a request, ${USUAL.shards} shards,`,
  'uncompressed, one worker; drivers with codecs, and with --full each with each. Beside other shards and codecs only Weir runs.',
  "Data go below the system's temporary folder, 15 GB at a time, and are deleted.",
].join(' ');

/** The fastest contender passes a million spans in less than a second: with fewer than these there are no two readings of it. */
const LEAST_SPANS = 200_000;

function addPipeline(program: Command, args: readonly string[]): void {
  const list = <T>(flags: string, description: string, parse: (text: string) => readonly T[], usual: readonly T[]) =>
    new Option(flags, description).argParser(parse).default(usual, usual.join(','));
  addBenchmark(program, 'pipeline', {
    summary: 'one processor, Kafka to Kafka, beside the OpenTelemetry Collector and the raw protocol',
    takes: 'about 10 minutes, with all drivers and codecs 20, with those and --full 75',
    more: PIPELINE,
    examples: [
      '--record',
      '--drivers all --codecs all',
      '--drivers all --codecs all --full --json',
      '--spans 100 --shards 16,256 --no-collector --no-floor',
    ],
  })
    .addOption(list('--spans <list>', 'spans a request', numbersOf(ALL.spans), ALL.spans))
    .addOption(list('--shards <list>', 'shards that they are split into', numbersOf(ALL.shards), ALL.shards))
    .addOption(
      list('--codecs <list>', `of input and output: ${ALL.codecs.join(', ')}`, listOf(ALL.codecs), [USUAL.codecs]),
    )
    .addOption(
      list('--drivers <list>', `what fetches and writes: ${ALL.drivers.join(', ')}`, listOf(ALL.drivers), [
        USUAL.drivers,
      ]),
    )
    .addOption(list('--workers <list>', 'workers of the processor', numbersOf(ALL.workers), ALL.workers))
    .option('--full', 'vary each with each')
    .option('--collector', 'end if the Collector cannot be built')
    .option('--no-collector', 'leave the Collector out')
    .option('--no-floor', 'leave the raw protocol out')
    .option('--total <spans>', `of each run, at least ${LEAST_SPANS}`, atLeast(LEAST_SPANS), 1_000_000)
    .option('--rounds <n>', 'runs of each contender, in turns', positiveNumber, 3)
    .action(async (options: OutputOptions & PipelineOptions) => {
      await print('pipeline', await import('./pipeline/suite.ts'), options, args);
    });
}

function addBridge(program: Command, args: readonly string[]): void {
  addBenchmark(program, 'bridge', {
    summary: 'one bridge, OTLP to Kafka, beside the OpenTelemetry Collector and a bridge that decodes',
    takes: 'about 3 minutes',
    more: 'The Collector is built once, in some minutes, where a Go toolchain is.',
    examples: ['--rounds 1', '--record'],
  })
    .option('--rounds <n>', 'runs of each contender, in turns', positiveNumber, 3)
    .action(async (options: OutputOptions & { rounds: number }) => {
      await print('bridge', await import('./bridge/suite.ts'), options, args);
    });
}

function addRebalance(program: Command, args: readonly string[]): void {
  addBenchmark(program, 'rebalance', {
    summary: 'how even the shards become under skewed keys, beside a static ring and bounded loads',
    takes: 'about 3 minutes, as time is virtual',
    examples: ['--seconds 100', '--plot --record'],
  })
    .option('--seconds <n>', 'virtual ones of each of three phases', positiveNumber, 400)
    .option('--plot', 'draw docs/rebalance.svg')
    .action(async (options: OutputOptions & { seconds: number; plot?: boolean }) => {
      await print('rebalance', await import('./rebalance/suite.ts'), options, args);
    });
}

function addFailover(program: Command, args: readonly string[]): void {
  addBenchmark(program, 'failover', {
    summary: 'how long an installation is without a leader when `weir control` is killed',
    takes: 'about 3 minutes',
    examples: ['--rounds 3 --record'],
  })
    .option('--rounds <n>', 'kills in each of two settings', positiveNumber, 5)
    .action(async (options: OutputOptions & { rounds: number }) => {
      await print('failover', await import('./failover/suite.ts'), options, args);
    });
}

function addSoak(program: Command, args: readonly string[]): void {
  const usual = Object.entries(ROLES)
    .map(([role, { minutes }]) => `${minutes} for ${role}`)
    .join(', ');
  addBenchmark(program, 'soak', {
    summary: 'whether a role that works for long stays as it was: lines through its memory and latencies',
    takes: 'as many minutes as it is told',
    more: 'In less than some ten minutes memory has not settled, and the verdicts say little.',
    examples: ['--minutes 2', '--record', '--role bridge --minutes 10'],
  })
    .addOption(new Option('--role <name>', 'which').choices(Object.keys(ROLES)).default('process'))
    .option('--minutes <n>', `how long (default: ${usual})`, positiveNumber)
    .action(async (options: OutputOptions & { role: keyof typeof ROLES; minutes?: number }) => {
      await print('soak', await import('./soak/suite.ts'), options, args);
    });
}

async function print<Options>(
  name: string,
  suite: Suite<Options>,
  options: Options & OutputOptions,
  args: readonly string[],
): Promise<void> {
  const rows = await suite.run(options, (text) => process.stderr.write(`${text}\n`));
  const shown = (suite.table ?? table)(rows);
  const notes = suite.notes?.(rows) ?? '';
  process.stdout.write(`${options.json ? JSON.stringify(rows, null, 1) : [shown, notes].join('\n\n').trimEnd()}\n`);
  if (!options.record) return;
  record(name, `npm run bench -- ${args.join(' ')}`, shown, notes);
  if (suite.shortTable) replaceSection(new URL('../README.md', import.meta.url), name, `${suite.shortTable(rows)}\n`);
}

function listOf(allowed: readonly string[]): (text: string) => readonly string[] {
  return (text) => {
    if (text === 'all') return allowed;
    const names = text.split(',');
    if (names.every((name) => allowed.includes(name))) return names;
    throw new InvalidArgumentError(`Allowed: all, or some of ${allowed.join(', ')}.`);
  };
}

function numbersOf(all: readonly number[]): (text: string) => readonly number[] {
  return (text) => (text === 'all' ? all : text.split(',').map(positiveNumber));
}

function atLeast(least: number): (text: string) => number {
  return (text) => {
    const value = wholeNumber(text);
    if (value < least) throw new InvalidArgumentError(`Allowed: an integer from ${least}.`);
    return value;
  };
}
