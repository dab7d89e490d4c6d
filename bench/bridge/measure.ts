/** One run of a contender under load: what it took, seen from outside, the same for all. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type CpuSeconds, cpuBetween, cpuSecondsOf } from '../usage.ts';
import { OF, type Protocol, type Running } from './contenders.ts';
import type { SenderOptions, SenderReport, SenderTotal } from './sender.ts';

const SENDER = join(import.meta.dirname, 'sender.ts');

/** As many gRPC clients share a connection; HTTP/1.1 has one request at a time on each. */
const IN_FLIGHT = 64;
const CONNECTIONS: Readonly<Record<Protocol, number>> = { grpc: 8, http: IN_FLIGHT };

export interface Measurement {
  readonly spansPerSecond: number;
  /** Per million spans. */
  readonly cpu: CpuSeconds;
  readonly brokerCpuSeconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** With those of the warm-up. */
  readonly acceptedInAll: number;
}

export type Load = Pick<SenderOptions, 'requestsPerSecond' | 'warmUpMs' | 'measureMs'>;

/** Sends to what is already running. */
export async function measure(
  running: Running,
  protocol: Protocol,
  load: Load,
  brokerPid: number,
): Promise<Measurement> {
  const { target } = running;
  const { spansPerRequest } = OF;
  const options: SenderOptions = {
    ...{ protocol, target, spansPerRequest, connections: CONNECTIONS[protocol], inFlight: IN_FLIGHT },
    ...load,
  };
  const sender = spawn(process.execPath, [SENDER, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(sender, 'exit');
  const cpuNow = () => ({ own: cpuSecondsOf(running.pid), broker: cpuSecondsOf(brokerPid) });
  const at: ReturnType<typeof cpuNow>[] = [];
  let acceptedInAll = 0;
  let report: SenderReport | undefined;
  for await (const line of createInterface({ input: sender.stdout })) {
    at.push(cpuNow());
    const said: SenderReport | SenderTotal | { readonly phase: 'warm' } = JSON.parse(line);
    if (said.phase === 'measured') report = said;
    if (said.phase === 'done') acceptedInAll = said.accepted;
  }
  await ended;
  running.assertRunning();
  const [before, after] = at;
  if (!report || !before || !after) throw new Error(`the sender to ${target} ended with ${sender.exitCode}`);
  if (report.refused > 0) throw new Error(`${target} refused ${report.refused} requests: nothing that can be compared`);
  const millions = (report.accepted * spansPerRequest) / 1e6;
  const own = cpuBetween(before.own, after.own);
  const broker = cpuBetween(before.broker, after.broker);
  return {
    spansPerSecond: (millions * 1e6) / report.seconds,
    cpu: { user: own.user / millions, system: own.system / millions },
    brokerCpuSeconds: (broker.user + broker.system) / millions,
    p50Ms: report.p50Ms,
    p99Ms: report.p99Ms,
    acceptedInAll,
  };
}
