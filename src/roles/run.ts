/**
 * What every role has in common: Kafka, topics, kernels and the API come first; then the role's parts, which stop in the
 * opposite order. A part that cannot go on ends the whole process with its error: whoever runs it starts it again, and all
 * state is in Kafka.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { aborted } from '../abortable.ts';
import type { ApiView } from '../api/api-view.ts';
import type { Api } from '../api/server.ts';
import type { Config } from '../config.ts';
import { type OpenKafka, openKafka } from '../kafka/connect.ts';
import { type Kernels, loadKernels } from '../kernels/index.ts';
import type { Log } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { type Names, namesFor } from '../names.ts';
import { ensureTopics, type TopicFacts } from '../topics/ensure-topics.ts';
import type { WorkerSeat } from '../workers/seat.ts';

export interface RoleOptions {
  readonly log: Log;
  readonly stdout: NodeJS.WriteStream;
  /** Ctrl-C, SIGTERM: drain and stop. */
  readonly signal: AbortSignal;
  /** In a worker process: its parent has the API. */
  readonly seat?: WorkerSeat;
}

/** What parts are made of. */
export interface RoleContext extends RoleOptions {
  readonly config: Config;
  readonly names: Names;
  readonly kafka: OpenKafka;
  readonly topics: TopicFacts;
  readonly kernels: Kernels;
  readonly metrics: Metrics;
  /** This process: unique, and new at each start. Its parts are members, see `member-reporter.ts`. */
  readonly member: string;
}

export interface Part {
  /** What it still waits for, as a sentence; null when it works. */
  waitsFor(): string | null;
  /** Rejects when it cannot go on. */
  readonly done: Promise<unknown>;
  /** Drains. */
  close(): Promise<void>;
  readonly view?: ApiView;
  /** The text of /metrics, where there is more than this process's registry to show. */
  exposition?(): Promise<string>;
}

export interface RunHooks {
  onProgress?(text: string): void;
  /** All parts are started. What it returns is closed first. */
  onStarted?(context: RoleContext, api: Api, parts: readonly Part[]): { close(): Promise<void> };
}

export async function runParts(
  role: 'bridge' | 'process' | 'control' | 'all',
  config: Config,
  options: RoleOptions,
  starters: ReadonlyArray<(context: RoleContext) => Promise<Part>>,
  hooks: RunHooks = {},
): Promise<void> {
  const { log, signal, seat } = options;
  const names = namesFor(config.prefix);
  const metrics = createMetrics({ defaults: true });
  const parts: Part[] = [];
  let started = false;
  let endedBy: unknown;
  const openedLast: Array<{ close(): Promise<void> }> = [];

  const ready = () => {
    const reasons = started ? parts.flatMap((part) => part.waitsFor() ?? []) : ['starting'];
    return { ready: reasons.length === 0, reasons };
  };

  try {
    seat?.show({ registry: metrics.registry, waitsFor: () => ready().reasons });
    // First, so that a taken port is said before anything else is started, and /healthz answers from the beginning.
    const api = seat ? null : await openApi();
    if (api) openedLast.push(api);
    const kafka = await openKafka(config, log, hooks.onProgress, signal);
    openedLast.push(kafka);
    const topics = await ensureTopics(kafka.port.admin, { config, names, role, embedded: kafka.embedded });
    for (const note of topics.notes) log.info(note);
    // `up` has a screen of its own for these.
    if (role !== 'all') log.info({ kafka: kafka.brokers, ...(api && { api: api.url }) }, 'started');
    const kernels = await loadKernels();
    const member = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
    const context: RoleContext = { ...options, config, names, kafka, topics, kernels, metrics, member };
    for (const start of starters) {
      if (signal.aborted) return;
      const part = await start(context);
      parts.push(part);
      openedLast.push(part);
    }
    started = true;
    if (api && hooks.onStarted) openedLast.push(hooks.onStarted(context, api, parts));
    const lost = kafka.lost.then((error) => Promise.reject(error));
    await Promise.race([aborted(signal), lost, ...parts.map((part) => part.done)]);
  } catch (err) {
    endedBy = err;
    // A Ctrl-C reaches what the start runs, such as Maven, too: that it then fails is no news.
    if (started || !signal.aborted) throw err;
    log.debug({ err }, 'stopped while starting');
  } finally {
    // All of them, whatever becomes of one: a broker left running is worse than an error told late.
    const failures = new Set<unknown>();
    for (const opened of openedLast.reverse()) await opened.close().catch((error: unknown) => failures.add(error));
    // What ended the part comes out of its close, too, and is told by whoever started the role.
    failures.delete(endedBy);
    for (const err of failures) log.error({ err }, 'not everything could be closed in order');
  }

  /** Loaded only where it is served: a worker has none. */
  async function openApi(): Promise<Api> {
    const { startApi } = await import('../api/server.ts');
    return startApi({
      config,
      metrics,
      log,
      ready,
      view: () => parts.find((part) => part.view)?.view,
      exposition: () => parts.find((part) => part.exposition)?.exposition?.() ?? metrics.registry.metrics(),
    });
  }
}
