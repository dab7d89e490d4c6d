/** What the pipeline's options choose: the cases, and how Weir runs in each. */
import { availableParallelism } from 'node:os';
import { describeSettings, type Setting } from '../../src/config/settings.ts';

/** One input, which all contenders read in turn. */
export interface Case {
  readonly spansPerRequest: number;
  readonly shards: number;
  /** Of the input, and of what the contenders write. Absent: none. */
  readonly codec?: string;
}

/** How Weir runs. Absent: as it does by default, where there is nothing to choose. */
export interface WeirForm {
  readonly driver?: string;
  readonly workers?: number;
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

/** The settings that are chosen, by what the command line calls them. */
const SETTINGS = { drivers: 'kafka.adapter', codecs: 'kafka.compression', workers: 'process.workers' } as const;

export function settingOf(name: keyof typeof SETTINGS): Setting | undefined {
  return describeSettings().find(({ key }) => key === SETTINGS[name]);
}

/** The environment that makes the choice; empty where nothing is chosen. */
export function settingFor(name: keyof typeof SETTINGS, value: string | number | undefined): Record<string, string> {
  const setting = settingOf(name);
  return setting && value !== undefined ? { [setting.env]: String(value) } : {};
}

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
      valuesOf('codecs', options.codecs).map((codec) => ({ spansPerRequest, shards, ...(codec && { codec }) })),
    ),
  );
  const workers = settingOf('workers') || options.workers === undefined ? numbers('workers', [1]) : missing('workers');
  const forms = valuesOf('drivers', options.drivers).flatMap((driver) =>
    workers.map((count) => ({ ...(driver && { driver }), ...(settingOf('workers') && { workers: count }) })),
  );
  return {
    cases,
    forms,
    collector: options.collector === true,
    spans: positive('total', String(options.total ?? 1_000_000)),
    rounds: positive('rounds', String(options.rounds ?? 3)),
  };
}

/** What was chosen of a setting's values; by default the setting's own default, undefined where there is no such setting. */
function valuesOf(name: 'drivers' | 'codecs', chosen: string | boolean | undefined): readonly (string | undefined)[] {
  const setting = settingOf(name);
  if (setting === undefined) return chosen === undefined || chosen === 'all' ? [undefined] : missing(name);
  const usual = String(setting.default);
  const values = setting.values ?? [usual];
  if (chosen === undefined) return [usual];
  if (chosen === 'all') return values;
  const names = String(chosen).split(',');
  const unknown = names.find((value) => !values.includes(value));
  if (unknown !== undefined) throw new Error(`--${name} ${unknown}: may be all, or some of ${values.join(', ')}`);
  return names;
}

function missing(name: keyof typeof SETTINGS): never {
  throw new Error(`--${name}: Weir has no setting ${SETTINGS[name]}`);
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new Error(`--${name} ${text}: must be an integer above 0`);
}
