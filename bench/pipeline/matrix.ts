/** What the pipeline's options choose: the cases, and how Weir runs in each. */
import { availableParallelism } from 'node:os';
import { describeSettings } from '../../src/config/settings.ts';

/** One input, which all contenders read in turn. */
export interface Case {
  readonly spansPerRequest: number;
  readonly shards: number;
  /** Of the input, and of what the contenders write. */
  readonly codec: string;
}

/** How Weir runs. */
export interface WeirForm {
  readonly workers: number;
}

export interface Matrix {
  readonly cases: readonly Case[];
  readonly forms: readonly WeirForm[];
  /** Run the Collector beside. */
  readonly collector: boolean;
  /** Spans of each run. */
  readonly spans: number;
  /** Every contender runs once a round, in turn. */
  readonly rounds: number;
}

export const ALL = { spans: [10, 100, 512], shards: [16, 64, 256], workers: [1, 2] } as const;
/** Two workers beside a broker and whoever measures: with fewer cores they would only share one worker's. */
export const LEAST_CORES_FOR_TWO_WORKERS = 6;
export const canMeasureWorkers = () => availableParallelism() >= LEAST_CORES_FOR_TWO_WORKERS;

/** What Weir may write. */
const CODECS = describeSettings().find(({ key }) => key === 'kafka.compression')?.values ?? [];

export function matrixOf(options: Record<string, string | boolean | undefined>): Matrix {
  const numbers = (name: keyof typeof ALL, usual: readonly number[]) =>
    options[name] === undefined
      ? usual
      : options[name] === 'all'
        ? ALL[name]
        : String(options[name])
            .split(',')
            .map((text) => positive(name, text));
  const cases = numbers('spans', ALL.spans).flatMap((spansPerRequest) =>
    numbers('shards', [16]).flatMap((shards) =>
      codecsOf(options.codecs).map((codec) => ({ spansPerRequest, shards, codec })),
    ),
  );
  const forms = numbers('workers', [1]).map((workers) => ({ workers }));
  return {
    cases,
    forms,
    collector: options.collector === true,
    spans: positive('total', String(options.total ?? 1_000_000)),
    rounds: positive('rounds', String(options.rounds ?? 3)),
  };
}

function codecsOf(chosen: string | boolean | undefined): readonly string[] {
  if (chosen === undefined) return ['none'];
  if (chosen === 'all') return CODECS;
  const names = String(chosen).split(',');
  const unknown = names.find((name) => !CODECS.includes(name));
  if (unknown !== undefined) throw new Error(`--codecs ${unknown}: may be all, or some of ${CODECS.join(', ')}`);
  return names;
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new Error(`--${name} ${text}: must be an integer above 0`);
}
