/**
 * Whether a process that works for long stays as it was: its memory flat, its polls no slower. A steady stream of spans goes to
 * an embedded Apache Kafka and through `weir process`; its RSS and the p99 of its polls are read at even intervals, and a line is
 * laid through each.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { namesFor } from '../../src/names.ts';
import { type Ground, KEEP_LITTLE, openGround, PARTITIONS, requestsOf } from '../pipeline/ground.ts';
import { USUAL } from '../pipeline/matrix.ts';
import { install, type WeirRunning, weirContender } from '../pipeline/weir.ts';
import { readMetrics, type ScrapedMetrics } from '../prometheus.ts';
import type { Row } from '../rows.ts';
import { rssMb } from '../usage.ts';
import { everyMinutesOf, growthRows, UNITS } from './growth.ts';

const PREFIX = 'soak.';
const OF = { spansPerRequest: 100, shards: 16, codec: 'none' };
const FORM = { driver: USUAL.drivers, workers: USUAL.workers };
const SPANS_PER_SECOND = 20_000;
const SENDS_PER_SECOND = 20;
/** In %. */
const MOST_GROWTH = { rss: 10, pollP99: 25 };
interface Reading {
  readonly minute: number;
  readonly rssMb: number;
  /** Of the polls since the reading before. */
  readonly pollP99Ms: number;
  readonly lagRecords: number;
}

export async function soakProcess(minutes: number, say: (text: string) => void): Promise<readonly Row[]> {
  const ground = await openGround(say, KEEP_LITTLE);
  const ended = new AbortController();
  try {
    await install(ground, PREFIX, OF);
    const weir = await weirContender(ground, PREFIX, OF, FORM, { records: 0 }).start();
    try {
      const stream = send(ground, ended.signal);
      // Once either fails there is nothing more to read.
      const readings = await Promise.race([read(ground, weir, minutes, say), stream.then(() => [])]);
      ended.abort();
      await stream;
      return verdicts(readings);
    } finally {
      ended.abort();
      await weir.stop();
    }
  } finally {
    await ground.close();
  }
}

/** The stream, until the signal is aborted. It waits for the broker, so on a machine that is too slow it is less steady. */
async function send({ kafka }: Ground, signal: AbortSignal): Promise<void> {
  const topic = namesFor(PREFIX).ingest('traces');
  const requests = requestsOf(OF.spansPerRequest);
  const perSend = SPANS_PER_SECOND / OF.spansPerRequest / SENDS_PER_SECOND;
  const producer = await kafka.producer();
  const startedAtMs = performance.now();
  for (let sends = 0; !signal.aborted; sends++) {
    const records = Array.from({ length: perSend }, (_, i) => {
      const value = requests[(sends * perSend + i) % requests.length] as Uint8Array;
      return { topic, partition: sends % PARTITIONS, value };
    });
    for (const outcome of await producer.send(records)) if (outcome.kind !== 'stored') throw outcome.cause;
    const earlyMs = startedAtMs + ((sends + 1) * 1e3) / SENDS_PER_SECOND - performance.now();
    if (earlyMs > 0) await delay(earlyMs);
  }
  await producer.close();
}

async function read(
  ground: Ground,
  weir: WeirRunning,
  minutes: number,
  say: (text: string) => void,
): Promise<Reading[]> {
  const names = namesFor(PREFIX);
  const everyMinutes = everyMinutesOf(minutes);
  const readings: Reading[] = [];
  say(
    `${minutes} minutes of ${SPANS_PER_SECOND.toLocaleString('en')} spans/s, read each ${(60 * everyMinutes).toFixed(0)} s`,
  );
  let before = await firstMetrics(weir);
  for (let minute = everyMinutes; minute <= minutes + everyMinutes / 2; minute += everyMinutes) {
    await delay(everyMinutes * 60_000);
    weir.assertRunning();
    const metrics = await readMetrics(weir.apiPort);
    const lags = await ground.kafka.admin.lag(names.processGroup, names.ingest('traces'));
    const reading = {
      minute,
      rssMb: rssMb(weir.pid),
      pollP99Ms: 1e3 * metrics.quantileSince(before, 'weir_poll_seconds', 0.99),
      lagRecords: [...lags.values()].reduce((sum, lag) => sum + Number(lag), 0),
    };
    before = metrics;
    readings.push(reading);
    const { rssMb: rss, pollP99Ms, lagRecords } = reading;
    say(
      `minute ${minute.toFixed(1)}: ${rss.toFixed(0)} MB RSS, polls p99 ${pollP99Ms.toFixed(1)} ms, ${lagRecords} records behind`,
    );
  }
  return readings;
}

/** It is still starting. */
async function firstMetrics(weir: WeirRunning): Promise<ScrapedMetrics> {
  for (;;) {
    weir.assertRunning();
    const metrics = await readMetrics(weir.apiPort).catch(() => undefined);
    if (metrics && metrics.sum('weir_polls_total') > 0) return metrics;
    await delay(100);
  }
}

function verdicts(readings: readonly Reading[]): Row[] {
  const last = readings.at(-1)!;
  const soak = `process, ${last.minute.toFixed(0)} minutes of ${SPANS_PER_SECOND.toLocaleString('en')} spans/s`;
  // It must have kept up, or the other two say nothing: one second of the stream may be on its way.
  const most = SPANS_PER_SECOND / OF.spansPerRequest;
  const behind = `${soak}: records behind`;
  return [
    ...growthRows(`${soak}: RSS, MB`, readings, (reading) => reading.rssMb, MOST_GROWTH.rss),
    ...growthRows(`${soak}: p99 of the polls, ms`, readings, (reading) => reading.pollP99Ms, MOST_GROWTH.pollP99),
    { name: 'soak', case: behind, value: last.lagRecords, unit: UNITS.last },
    {
      name: 'soak',
      case: behind,
      value: last.lagRecords,
      unit: 'records',
      peer: 'limit',
      peer_value: most,
      goal: { must: most, of: 'value' },
      verdict: last.lagRecords <= most ? 'met' : 'missed',
    },
  ];
}
