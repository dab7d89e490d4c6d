/**
 * The load, in a process of its own: requests that are encoded before anything is timed, sent by as little code as there can be,
 * so that on a small machine the sender is not what is measured. gRPC on node:http2, HTTP on undici, the same for every contender.
 *
 * `node sender.ts OPTIONS` (SenderOptions as JSON) writes a SenderLine each when the measured part begins, when it ends, and once all
 * that was sent has been answered. `send.ts` starts it.
 */
import { type ClientHttp2Session, connect } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { framed } from '../../src/bridge/grpc-message.ts';
import { openTransport, type Sent, type Transport } from '../../src/loadgen/transports.ts';
import { requestsOf } from '../pipeline/ground.ts';

export interface SenderOptions {
  readonly protocol: 'grpc' | 'http';
  /** HOST:PORT */
  readonly target: string;
  readonly spansPerRequest: number;
  readonly connections: number;
  /** Requests at a time. */
  readonly inFlight: number;
  /** 0: the next as soon as one is answered. Above: at their times, whatever the answers to those before. */
  readonly requestsPerSecond: number;
  /** So many of those are due at the same time. Absent: each at its own. */
  readonly atOnce?: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export type SenderLine =
  | { readonly phase: 'warm' }
  | ({ readonly phase: 'measured' } & SenderReport)
  /** `accepted` in all, in the warm-up too. */
  | { readonly phase: 'done'; readonly accepted: number };

/** Of the measured part. */
export interface SenderReport {
  readonly seconds: number;
  readonly accepted: number;
  readonly refused: number;
  /** Not sent, as they would have been more than `inFlight` at a time. */
  readonly missed: number;
  /** From when a request was due to its acknowledgement. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const TIMEOUT_MS = 30_000;
const PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2]!));

async function main(options: SenderOptions): Promise<void> {
  const { protocol, target, connections, warmUpMs, measureMs } = options;
  const requests = requestsOf(options.spansPerRequest).map((body) => (protocol === 'grpc' ? framed(body) : body));
  const transport =
    protocol === 'grpc'
      ? openHttp2(target, connections)
      : openTransport({
          protocol,
          target,
          signal: 'traces',
          connections,
          gzip: false,
          headers: {},
          tls: null,
          timeoutMs: TIMEOUT_MS,
        });
  const say = (line: SenderLine) => process.stdout.write(`${JSON.stringify(line)}\n`);
  let latenciesMs: number[] = [];
  let [accepted, refused, missed, inFlight, sent] = [0, 0, 0, 0, 0];
  let over = false;

  async function send(dueAt: number): Promise<void> {
    inFlight++;
    const outcome: Sent = await transport.send(requests[sent++ % requests.length]!);
    inFlight--;
    if (outcome.kind === 'accepted') {
      accepted++;
      latenciesMs.push(performance.now() - dueAt);
    } else if (refused++ === 0) process.stderr.write(`${target}: refused, ${outcome.reason}\n`);
  }

  async function lane(): Promise<void> {
    while (!over) await send(performance.now());
  }

  async function atRate(): Promise<void> {
    const { requestsPerSecond, atOnce = 1 } = options;
    const intervalMs = (1e3 * atOnce) / requestsPerSecond;
    for (let dueAt = performance.now(); !over; ) {
      for (const now = performance.now(); dueAt <= now; dueAt += intervalMs) {
        for (let i = 0; i < atOnce; i++) {
          if (inFlight >= options.inFlight) missed++;
          else void send(dueAt);
        }
      }
      await sleep(1);
    }
  }

  const sending = options.requestsPerSecond === 0 ? Array.from({ length: options.inFlight }, lane) : [atRate()];
  await sleep(warmUpMs);
  say({ phase: 'warm' });
  const startedAt = performance.now();
  latenciesMs = [];
  refused = missed = 0;
  await sleep(measureMs);
  const seconds = (performance.now() - startedAt) / 1e3;
  over = true;
  const measured = latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number) => measured[Math.floor(share * (measured.length - 1))] ?? Number.NaN;
  say({ phase: 'measured', seconds, accepted: measured.length, refused, missed, p50Ms: at(0.5), p99Ms: at(0.99) });
  await Promise.all(sending);
  while (inFlight > 0) await sleep(10);
  say({ phase: 'done', accepted });
  await transport.close();
}

/** Bodies are whole messages, with gRPC's five bytes before them. */
function openHttp2(target: string, connections: number): Transport {
  // At a rate that the target falls behind, what waits here is more than the 10 MB beyond which Node resets streams.
  const sessions = Array.from({ length: connections }, () => connect(`http://${target}`, { maxSessionMemory: 1_000 }));
  let turn = 0;
  return {
    send: (body) => sendOn(sessions[turn++ % sessions.length]!, body),
    async close() {
      await Promise.all(sessions.map((session) => new Promise<void>((resolve) => session.close(resolve))));
    },
  };
}

function sendOn(session: ClientHttp2Session, body: Uint8Array): Promise<Sent> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let status = 'none';
    const read = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] !== undefined) status = String(headers['grpc-status']);
    };
    stream.on('response', read);
    stream.on('trailers', read);
    stream.on('error', (error) => {
      status = error.message;
    });
    stream.once('close', () =>
      resolve(status === '0' ? { kind: 'accepted' } : { kind: 'refused', reason: `grpc-status ${status}` }),
    );
    stream.resume();
    stream.end(body);
  });
}
