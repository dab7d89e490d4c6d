/**
 * Whether a bridge that works for long stays as it was. 200 exporters, half by gRPC and half by HTTP, keep their connections and
 * send a request a second each, all at the same time, as exporters do that were started together; its RSS is read at even intervals,
 * and a line is laid through it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { OF, PREFIX, type Protocol, type RunningBridge, startBridgeProcess } from '../bridge/contenders.ts';
import { send } from '../bridge/send.ts';
import { KEEP_LITTLE, openGround } from '../pipeline/ground.ts';
import { install, MAIN } from '../pipeline/weir.ts';
import { readMetrics, type ScrapedMetrics } from '../prometheus.ts';
import type { Row } from '../rows.ts';
import { rssMb } from '../usage.ts';
import { everyMinutesOf, growthRows, UNITS } from './growth.ts';

const CONNECTIONS: Readonly<Record<Protocol, number>> = { grpc: 100, http: 100 };
const ALL_CONNECTIONS = CONNECTIONS.grpc + CONNECTIONS.http;
/** Requests of one exporter may be so many at a time before one is left out. */
const MOST_BEHIND = 10;
/** In %. */
const MOST_GROWTH = 10;

interface Reading {
  readonly minute: number;
  readonly rssMb: number;
  readonly connections: number;
}

export async function soakBridge(minutes: number, say: (text: string) => void): Promise<readonly Row[]> {
  const ground = await openGround(say, KEEP_LITTLE);
  try {
    await install(ground, PREFIX, OF);
    const bridge = await startBridgeProcess(ground, [MAIN, 'bridge']);
    try {
      // Once a sender fails there is nothing more to read; their own time is the longer one.
      const sending = Promise.all([stream(bridge, 'grpc', minutes), stream(bridge, 'http', minutes)]);
      const readings = await Promise.race([read(bridge, minutes, say), sending.then(() => [])]);
      const missed = (await sending).reduce((sum, report) => sum + report.missed, 0);
      return verdicts(readings, missed);
    } finally {
      await bridge.stop();
    }
  } finally {
    await ground.close();
  }
}

function stream({ targets }: RunningBridge, protocol: Protocol, minutes: number) {
  const connections = CONNECTIONS[protocol];
  return send({
    ...{ protocol, target: targets[protocol], spansPerRequest: OF.spansPerRequest, connections },
    ...{ requestsPerSecond: connections, atOnce: connections, inFlight: connections * MOST_BEHIND },
    ...{ warmUpMs: 0, measureMs: minutes * 60_000 + 10_000 },
  });
}

async function read(bridge: RunningBridge, minutes: number, say: (text: string) => void): Promise<Reading[]> {
  const everyMinutes = everyMinutesOf(minutes);
  const readings: Reading[] = [];
  say(`${minutes} minutes of ${ALL_CONNECTIONS} exporters, read each ${(60 * everyMinutes).toFixed(0)} s`);
  let before: ScrapedMetrics = await readMetrics(bridge.apiPort);
  for (let minute = everyMinutes; minute <= minutes + everyMinutes / 2; minute += everyMinutes) {
    await delay(everyMinutes * 60_000);
    bridge.assertRunning();
    const metrics = await readMetrics(bridge.apiPort);
    const ackMs = 1e3 * metrics.quantileSince(before, 'weir_bridge_ack_seconds', 0.99);
    before = metrics;
    const connections = metrics.sum('weir_bridge_connections');
    readings.push({ minute, rssMb: rssMb(bridge.pid), connections });
    const rss = readings.at(-1)!.rssMb.toFixed(0);
    say(
      `minute ${minute.toFixed(1)}: ${rss} MB RSS, ${connections} connections, acknowledged p99 ${ackMs.toFixed(1)} ms`,
    );
  }
  return readings;
}

function verdicts(readings: readonly Reading[], missed: number): Row[] {
  const last = readings.at(-1)!;
  const soak = `bridge, ${last.minute.toFixed(0)} minutes of ${ALL_CONNECTIONS} exporters`;
  const least = Math.min(...readings.map((reading) => reading.connections));
  const connections = `${soak}: connections, the fewest at a time`;
  return [
    ...growthRows(`${soak}: RSS, MB`, readings, (reading) => reading.rssMb, MOST_GROWTH),
    { name: 'soak', case: connections, value: least, unit: UNITS.last },
    {
      name: 'soak',
      case: connections,
      value: least,
      unit: 'connections',
      goal: { must: ALL_CONNECTIONS, of: 'value' },
      verdict: least >= ALL_CONNECTIONS ? 'met' : 'missed',
    },
    { name: 'soak', case: `${soak}: requests left out, as the bridge was behind`, value: missed, unit: UNITS.last },
  ];
}
