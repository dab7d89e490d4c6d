/** What the pipeline's options choose: the cases, how Weir runs in each, and what takes turns with what. */
import { availableParallelism } from 'node:os';
import { describeSettings } from '../../src/config/settings.ts';
import { DRIVERS, USUAL_DRIVER } from './drivers.ts';

/** One input and how it is split. */
export interface Case {
  readonly spansPerRequest: number;
  readonly shards: number;
  /** Of the input, and of what the contenders write. */
  readonly codec: string;
}

/** How Weir runs. */
export interface WeirForm {
  readonly driver: string;
  readonly workers: number;
}

/** A case and who runs in it. */
export interface Entry {
  readonly case: Case;
  readonly forms: readonly WeirForm[];
  /** The others run, too. */
  readonly rivals: boolean;
}

/** Entries of the same spans a request and codec. All of them run in every round, so that a ratio between any two is of neighbouring minutes. */
export type Contest = readonly Entry[];

export interface MatrixOptions {
  readonly spans: readonly number[];
  readonly shards: readonly number[];
  readonly codecs: readonly string[];
  readonly drivers: readonly string[];
  readonly workers: readonly number[];
  /** Each with each. Otherwise one of them is varied at a time, drivers with codecs as one, and the others are as usual. */
  readonly full?: boolean;
}

/** What Weir may write. */
const CODECS = describeSettings().find(({ key }) => key === 'kafka.compression')?.values ?? [];

export const ALL = {
  spans: [10, 100, 512],
  shards: [16, 64, 256],
  codecs: CODECS,
  drivers: Object.keys(DRIVERS),
  workers: [1, 2],
} as const;

/** What the goals are set for. */
export const USUAL = { spans: 100, shards: 16, codecs: 'none', drivers: USUAL_DRIVER, workers: 1 } as const;

/** Two workers beside a broker and whoever measures: with fewer cores they would only share one worker's. */
export const LEAST_CORES_FOR_TWO_WORKERS = 6;
export const canMeasureWorkers = () => availableParallelism() >= LEAST_CORES_FOR_TWO_WORKERS;

/** A driver compresses by itself, so what a codec costs differs between them; what shards and workers cost hardly does. */
const VARIED_TOGETHER = [['spans'], ['shards'], ['workers'], ['codec', 'driver']] as const;

/** The rivals run at the usual number of shards and codec alone: to a Collector shards are just partitions, and no goal is set for the rest. */
export function contestsOf(options: MatrixOptions): readonly Contest[] {
  const usual = {
    spans: usualOf(options.spans, USUAL.spans),
    shards: usualOf(options.shards, USUAL.shards),
    codec: usualOf(options.codecs, USUAL.codecs),
    driver: usualOf(options.drivers, USUAL.drivers),
    workers: usualOf(options.workers, USUAL.workers),
  };
  const points = options.spans.flatMap((spans) =>
    options.codecs.flatMap((codec) =>
      options.shards.flatMap((shards) =>
        options.drivers.flatMap((driver) =>
          options.workers.map((workers) => ({ spans, codec, shards, driver, workers })),
        ),
      ),
    ),
  );
  const isVaried = (point: typeof usual, keys: readonly (keyof typeof usual)[]) =>
    keys.some((key) => point[key] !== usual[key]);
  const wanted = points.filter(
    (point) => options.full || VARIED_TOGETHER.filter((keys) => isVaried(point, keys)).length <= 1,
  );
  return groups(wanted, ({ spans, codec }) => `${spans} ${codec}`).map((contest) =>
    groups(contest, ({ shards }) => String(shards)).map((entry): Entry => {
      const { spans: spansPerRequest, shards, codec } = entry[0]!;
      return {
        case: { spansPerRequest, shards, codec },
        forms: entry.map(({ driver, workers }) => ({ driver, workers })),
        rivals: shards === usual.shards && codec === usual.codec,
      };
    }),
  );
}

/** What is usual where it is wanted, else the first that is. */
function usualOf<T>(wanted: readonly T[], usual: T): T {
  return wanted.includes(usual) ? usual : wanted[0]!;
}

/** In the order in which each first comes. */
const groups = <T>(items: readonly T[], key: (item: T) => string): T[][] => [...Map.groupBy(items, key).values()];
