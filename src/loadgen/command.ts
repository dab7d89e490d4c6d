/**
 * `weir load`: sends the corpus to an OTLP endpoint at a chosen rate, and says what came of it. Open loop: a request is due
 * at its time whether or not earlier ones were answered, and its latency counts from when it was due, so that a slow server
 * cannot hide behind a generator that waits for it. What is more than `maxInFlight` requests behind is counted as missed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { WeirError } from '../errors.ts';
import { ITEM_NAMES, type Signal } from '../signals.ts';
import { type ClientTls, openClientTls } from './client-tls.ts';
import { createCorpus } from './corpus.ts';
import { openTransport, type Sent } from './transports.ts';

export interface LoadOptions {
  readonly protocol: 'grpc' | 'http';
  /** HOST:PORT */
  readonly target: string;
  readonly signal: Signal;
  /** Items a second; 0: as fast as `maxInFlight` requests at a time allow (then the loop is closed). */
  readonly rate: number;
  readonly itemsPerRequest: number;
  /** How long; 0: until stopped. */
  readonly seconds: number;
  readonly connections: number;
  readonly maxInFlight: number;
  readonly gzip: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** null: in the clear. */
  readonly tls: ClientTls | null;
  readonly services: number;
  /** 0: all services send alike; 1.1: a few send most. */
  readonly skew: number;
  readonly seed: number;
}

export interface LoadSummary {
  readonly sent: number;
  readonly accepted: number;
  readonly items: number;
  readonly bytes: number;
  readonly missed: number;
  readonly refusals: ReadonlyMap<string, number>;
  readonly seconds: number;
  /** Latencies in ms, of accepted requests. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Distinct requests, cycled: enough that the receiver's processor caches do not flatter the figures. */
const DISTINCT_REQUESTS = 256;
const TIMEOUT_MS = 30_000;
const HOPELESS_SECONDS = 5;
const PACE_MS = 5;
/** Characters of what a server says. */
const MOST_DETAILS = 300;

export async function runLoad(
  options: LoadOptions,
  { stdout, signal: stop }: { stdout: NodeJS.WritableStream & { isTTY?: boolean }; signal: AbortSignal },
): Promise<LoadSummary> {
  const { rate, itemsPerRequest, maxInFlight, signal } = options;
  const corpus = createCorpus({
    seed: options.seed,
    signal,
    itemsPerRequest,
    services: options.services,
    shape: { serviceSkew: options.skew },
  });
  const requests = corpus.requests(DISTINCT_REQUESTS);
  const tls = options.tls && (await openClientTls(options.tls));
  const transport = openTransport({ ...options, tls, timeoutMs: TIMEOUT_MS });
  const latenciesMs: number[] = [];
  const refusals = new Map<string, number>();
  /** Of the last refusal. */
  let details = '';
  let sent = 0;
  let accepted = 0;
  let bytes = 0;
  let missed = 0;
  let inFlight = 0;
  const startedAt = performance.now();
  const elapsed = () => (performance.now() - startedAt) / 1e3;

  async function sendOne(dueAt: number): Promise<void> {
    const body = requests[sent++ % requests.length]!;
    inFlight++;
    const outcome: Sent = await transport.send(body);
    inFlight--;
    if (outcome.kind === 'refused') {
      refusals.set(outcome.reason, (refusals.get(outcome.reason) ?? 0) + 1);
      details = outcome.details ?? '';
      return;
    }
    accepted++;
    bytes += body.length;
    latenciesMs.push(performance.now() - dueAt);
  }

  /** Every request was refused for a while: that is an address to be told of, not a load to go on with. */
  const hopeless = () => accepted === 0 && refusals.size > 0 && elapsed() > HOPELESS_SECONDS;
  const over = () => stop.aborted || hopeless() || (options.seconds > 0 && elapsed() >= options.seconds);
  const progress = reportProgress();
  try {
    await (rate === 0 ? asFastAsPossible() : atRate());
    const deadline = performance.now() + TIMEOUT_MS;
    while (inFlight > 0 && performance.now() < deadline) await sleep(PACE_MS);
  } finally {
    progress.stop();
    await transport.close();
  }
  if (sent > 0 && accepted === 0) {
    const reasons = [...refusals.keys()].join(', ') || 'no answer';
    const why = details === '' ? reasons : `${reasons}: ${details.slice(0, MOST_DETAILS)}`;
    throw new WeirError(
      'LOAD_TARGET',
      `load: none of ${sent} requests to ${options.protocol}${tls ? 's' : ''}://${options.target} was accepted (${why}); ` +
        'see that a bridge is there (--target HOST:PORT), and gets what it asks for (--tls, --header)',
    );
  }
  return summarise();

  async function asFastAsPossible(): Promise<void> {
    const lane = async () => {
      while (!over()) await sendOne(performance.now());
    };
    await Promise.all(Array.from({ length: maxInFlight }, lane));
  }

  async function atRate(): Promise<void> {
    const intervalMs = (itemsPerRequest / rate) * 1e3;
    let dueAt = performance.now();
    while (!over()) {
      for (const now = performance.now(); dueAt <= now; dueAt += intervalMs) {
        if (inFlight >= maxInFlight) missed++;
        else void sendOne(dueAt);
      }
      await sleep(PACE_MS);
    }
  }

  function summarise(): LoadSummary {
    latenciesMs.sort((a, b) => a - b);
    const at = (share: number) =>
      latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(share * latenciesMs.length))] ?? 0;
    return {
      sent,
      accepted,
      items: accepted * itemsPerRequest,
      bytes,
      missed,
      refusals,
      seconds: elapsed(),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      maxMs: at(1),
    };
  }

  /** A line each second: rewritten in place on a terminal. */
  function reportProgress(): { stop(): void } {
    let last = { accepted: 0, bytes: 0, latencies: 0 };
    const timer = setInterval(() => {
      const recent = latenciesMs.slice(last.latencies).sort((a, b) => a - b);
      const at = (share: number) => (recent[Math.floor(share * (recent.length - 1))] ?? 0).toFixed(1);
      const refused = [...refusals].map(([reason, count]) => `${count} ${reason}`).join(', ');
      const line =
        `${elapsed().toFixed(0)}s  ${((accepted - last.accepted) * itemsPerRequest).toLocaleString('en')} ${ITEM_NAMES[signal]}/s  ` +
        `${((bytes - last.bytes) / 1e6).toFixed(1)} MB/s  p50 ${at(0.5)} ms  p99 ${at(0.99)} ms` +
        `${refused ? `  refused: ${refused}` : ''}${missed ? `  missed: ${missed}` : ''}`;
      stdout.write(stdout.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
      last = { accepted, bytes, latencies: latenciesMs.length };
    }, 1_000);
    return {
      stop() {
        clearInterval(timer);
        if (stdout.isTTY) stdout.write('\n');
      },
    };
  }
}

export function describeSummary(summary: LoadSummary, signal: Signal): string {
  const { sent, accepted, items, bytes, missed, refusals, seconds, p50Ms, p99Ms, maxMs } = summary;
  const lines = [
    `${accepted} of ${sent} requests accepted: ${items.toLocaleString('en')} ${ITEM_NAMES[signal]}, ${(bytes / 1e6).toFixed(1)} MB in ` +
      `${seconds.toFixed(1)} s (${Math.round(items / seconds).toLocaleString('en')} ${ITEM_NAMES[signal]}/s)`,
    `latency p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, max ${maxMs.toFixed(1)} ms`,
  ];
  for (const [reason, count] of refusals) lines.push(`${count} refused: ${reason}`);
  if (missed > 0) lines.push(`${missed} not sent: more than the allowed requests were in flight`);
  return lines.join('\n');
}
