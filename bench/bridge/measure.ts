/** One run of a contender under load: what it took, seen from outside, the same for all. */
import { type CpuSeconds, cpuBetween, cpuSecondsOf } from '../usage.ts';
import { OF, type Protocol, type Running } from './contenders.ts';
import { send } from './send.ts';
import type { SenderOptions } from './sender.ts';

/** As many gRPC clients share a connection; HTTP/1.1 has one request at a time on each. */
const IN_FLIGHT = 64;
/** At a given rate nothing is held back: else a slow answer would spare others their wait. */
const UNBOUNDED = 100_000;
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
  const inFlight = load.requestsPerSecond === 0 ? IN_FLIGHT : UNBOUNDED;
  const cpuNow = () => ({ own: cpuSecondsOf(running.pid), broker: cpuSecondsOf(brokerPid) });
  let [before, after] = [cpuNow(), cpuNow()];
  const report = await send(
    { protocol, target, spansPerRequest, connections: CONNECTIONS[protocol], ...load, inFlight },
    (phase) => {
      if (phase === 'warm') before = cpuNow();
      if (phase === 'measured') after = cpuNow();
    },
  );
  running.assertRunning();
  const millions = (report.accepted * spansPerRequest) / 1e6;
  const own = cpuBetween(before.own, after.own);
  const broker = cpuBetween(before.broker, after.broker);
  return {
    spansPerSecond: (millions * 1e6) / report.seconds,
    cpu: { user: own.user / millions, system: own.system / millions },
    brokerCpuSeconds: (broker.user + broker.system) / millions,
    p50Ms: report.p50Ms,
    p99Ms: report.p99Ms,
    acceptedInAll: report.acceptedInAll,
  };
}
