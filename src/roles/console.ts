/** What `weir up` shows: where things are, then one line of live figures; rewritten in place on a terminal, else every 10 s. */
import type { ApiView } from '../api/api-view.ts';
import type { Config } from '../config.ts';
import type { Decision } from '../control/decision.ts';
import type { OpenKafka } from '../kafka/connect.ts';
import type { Metrics } from '../metrics.ts';
import { LAG_KNOWN_MS } from '../pipeline/processor.ts';

export interface Console {
  /** One step of the start or the end. */
  progress(text: string): void;
  started(where: { grpc: string; http: string; api: string; kafka: OpenKafka; config: Config }): void;
  /** Begins the line of figures. */
  figures(metrics: Metrics, of: Figures): { close(): Promise<void> };
}

export interface Figures {
  /** Of all signals, while the view knows no ring. */
  readonly shards: number;
  readonly view: ApiView | undefined;
  /** Why nothing moves yet; null when it does. */
  waitsFor(): string | null;
  /** In ms since 1970; null: not yet. */
  lagMeasuredAtMs(): number | null;
}

/** The demo shop and `weir load` have neither certificates nor credentials. */
export function opensToDemo({ bridge }: Config): boolean {
  return !bridge.tls.enabled && bridge.auth.credentialsFile === undefined;
}

const TERMINAL_INTERVAL_MS = 1_000;
const PLAIN_INTERVAL_MS = 10_000;
/** What is waited for at a start is soon there; only what takes longer is worth a word. */
const PATIENCE_MS = 10_000;
/** Where `weir load` sends to unless told otherwise. */
const LOAD_TARGET = '127.0.0.1:4317';

export function openConsole(stdout: NodeJS.WriteStream): Console {
  // On a terminal the last line may be the live line; the next one comes within a second.
  const wipe = stdout.isTTY ? '\r\x1b[K' : '';
  const write = (text: string) => stdout.write(`${wipe}${text}\n`);

  return {
    progress: (text) => void write(text),

    started({ grpc, http, api, kafka, config }) {
      const load = grpc === LOAD_TARGET ? '' : ` --target ${grpc}`;
      const otlp = `${config.bridge.tls.enabled ? 'https' : 'http'}://${http}`;
      const orLoad = opensToDemo(config) ? `, or: npm start -- load${load}` : '';
      write(
        [
          '',
          `Weir is running on ${kafka.port.description}`,
          `  OTLP/gRPC   ${grpc}`,
          `  OTLP/HTTP   ${otlp}   (POST /v1/traces, /v1/metrics, /v1/logs; protobuf or JSON)`,
          `  API         ${api}   (/metrics, /api/v1/shards, /api/v1/decisions, …)`,
          config.demo && opensToDemo(config)
            ? '  Demo        a simulated shop sends traces, metrics and logs; --no-demo leaves it out'
            : `  Send        OTEL_EXPORTER_OTLP_ENDPOINT=${otlp} your-program${orLoad}`,
          ...(kafka.kind === 'memory' ? [] : [`  Look        npm start -- inspect shards${flagsFor(kafka, config)}`]),
          '  Stop        Ctrl-C',
          '',
        ].join('\n'),
      );
    },

    figures(metrics, { shards, view, waitsFor, lagMeasuredAtMs }) {
      const terminal = stdout.isTTY === true;
      let last = { in: 0, out: 0, at: performance.now() };
      let lastDecision = '';
      let waitsSince: number | undefined;
      const unsubscribe = view?.subscribe((event) => {
        if (event.event === 'decision') lastDecision = summaryOf(event.data);
      });

      const show = async () => {
        const now = { in: await total(metrics.itemsIn), out: await total(metrics.itemsRouted), at: performance.now() };
        const seconds = (now.at - last.at) / 1e3;
        const rate = (count: number) => Math.round(count / seconds).toLocaleString('en');
        const used = (await metrics.itemsRouted.get()).values.map(({ labels }) => `${labels.signal} ${labels.shard}`);
        const there = new Set((await view?.shards())?.shards.map(({ signal, id }) => `${signal} ${id}`));
        const count =
          there.size > 0
            ? `${used.filter((shard) => there.has(shard)).length} of ${there.size}`
            : `${used.length} of ${shards}`;
        const reason = waitsFor();
        waitsSince = reason === null ? undefined : (waitsSince ?? now.at);
        const waits = waitsSince !== undefined && now.at - waitsSince >= PATIENCE_MS;
        const line =
          `in ${rate(now.in - last.in)} items/s  out ${rate(now.out - last.out)} items/s  ` +
          `lag ${lagText(await total(metrics.lagRecords), lagMeasuredAtMs())}  ${count} shards  ` +
          (waits ? reason : `last decision: ${lastDecision || 'none yet'}`);
        last = now;
        stdout.write(terminal ? `${wipe}${line.slice(0, (stdout.columns || 120) - 1)}` : `${line}\n`);
      };
      const timer = setInterval(() => void show(), terminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS);
      return {
        async close() {
          clearInterval(timer);
          unsubscribe?.();
        },
      };
    },
  };
}

async function total(metric: { get(): Promise<{ values: Array<{ value: number }> }> }): Promise<number> {
  return (await metric.get()).values.reduce((sum, { value }) => sum + value, 0);
}

function lagText(records: number, measuredAtMs: number | null): string {
  if (measuredAtMs === null) return 'not yet known';
  if (Date.now() - measuredAtMs <= LAG_KNOWN_MS) return `${records.toLocaleString('en')} records`;
  return `unknown since ${new Date(measuredAtMs).toTimeString().slice(0, 8)}`;
}

/** What another command needs to find the same installation, so that it can be pasted. */
function flagsFor(kafka: OpenKafka, config: Config): string {
  const { dataDir } = config.kafka.embedded;
  const where = kafka.embedded ? dataDir && ` --data-dir ${shellWord(dataDir)}` : ` --kafka ${kafka.brokers}`;
  return `${where ?? ''}${config.prefix && ` --prefix ${config.prefix}`}`;
}

const shellWord = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Such as `scale_out checkout 3 -> 5, cpu-high: mean CPU 0.92 is above 0.8`. */
function summaryOf(decision: Decision): string {
  const { action, subject, reasons } = decision;
  const round = (value: number) => Number(value.toFixed(2));
  const why = reasons[0] ? `, ${reasons[0].rule}: ${reasons[0].text}` : '';
  return `${action} ${subject} ${round(decision.from)} -> ${round(decision.to)}${why}`;
}
