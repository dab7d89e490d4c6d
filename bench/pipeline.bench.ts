/**
 * What one processor costs, seen from outside: the topic is filled, then `weir process` runs as a child on an embedded
 * Apache Kafka until its lag is 0. The child's own /metrics tell the time it spent; start-up is left out (measured from the
 * first 5% of the spans to the last). Topics and data are deleted.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { defaultConfig } from '../src/config.ts';
import { freePort } from '../src/kafka/embedded/ports.ts';
import { startEmbedded } from '../src/kafka/embedded.ts';
import { connectKafka } from '../src/kafka/kafkajs/index.ts';
import type { KafkaPort } from '../src/kafka/port.ts';
import { createCorpus } from '../src/loadgen/corpus.ts';
import { namesFor } from '../src/names.ts';
import type { Row } from './rows.ts';

const MAIN = join(import.meta.dirname, '..', 'dist', 'main.js');
/** Enough that processor caches do not flatter the figures. */
const DISTINCT_REQUESTS = 256;
const PARTITIONS = 4;
const WARM_UP_SHARE = 0.05;

interface Sample {
  readonly items: number;
  readonly bytesIn: number;
  readonly cpuSeconds: number;
  readonly kernelSeconds: number;
  readonly gcSeconds: number;
  readonly atMs: number;
  readonly brokerCpuSeconds: number;
}

export async function run(
  options: Record<string, string | boolean | undefined>,
  say: (text: string) => void,
): Promise<readonly Row[]> {
  const spans = Number(options.spans ?? 1_000_000);
  const sizes = String(options['spans-per-request'] ?? '10,100,512')
    .split(',')
    .map(Number);
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const broker = await startEmbedded({
    dataDir,
    heapMb: 1_024,
    onProgress: say,
    settings: { 'log.retention.bytes': '-1' },
  });
  const log = pino({ level: 'warn' }, process.stderr);
  const kafka = await connectKafka(defaultConfig({ kafka: { brokers: broker.brokers } }).kafka, log);
  try {
    const rows: Row[] = [];
    for (const size of sizes) rows.push(...(await measure(size, spans, kafka, broker, say)));
    return rows;
  } finally {
    await kafka.close();
    await broker.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function measure(
  spansPerRequest: number,
  spans: number,
  kafka: KafkaPort,
  broker: { brokers: string; pid: number },
  say: (text: string) => void,
): Promise<Row[]> {
  const prefix = `bench-${spansPerRequest}-${Date.now().toString(36)}.`;
  const names = namesFor(prefix);
  const apiPort = await freePort();
  const env = {
    ...process.env,
    WEIR_PREFIX: prefix,
    WEIR_KAFKA: broker.brokers,
    WEIR_API_PORT: String(apiPort),
    WEIR_TOPICS_INGEST_PARTITIONS: String(PARTITIONS),
    WEIR_LOG_LEVEL: 'warn',
    // One process, whose CPU time and memory are measured.
    WEIR_WORKERS: '1',
  };
  await exitOf(spawn(process.execPath, [MAIN, 'topics', '--create'], { env, stdio: ['ignore', 'ignore', 'inherit'] }));
  say(
    `${spansPerRequest} spans a request: filling ${names.ingest('traces')} with ${spans.toLocaleString('en')} spans …`,
  );
  const bytes = await fill(kafka, names.ingest('traces'), spansPerRequest, spans);

  const child = spawn(process.execPath, [MAIN, 'process'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    const first = await sampleWhen(child, broker.pid, apiPort, (items) => items >= spans * WARM_UP_SHARE);
    const last = await sampleWhen(child, broker.pid, apiPort, (items) => items >= spans);
    const peakMb = peakRssMb(child.pid as number);
    const million = (last.items - first.items) / 1e6;
    const seconds = (last.atMs - first.atMs) / 1e3;
    const cpu = last.cpuSeconds - first.cpuSeconds;
    const share = (part: number) => (100 * part) / cpu;
    const kernel = last.kernelSeconds - first.kernelSeconds;
    const gc = last.gcSeconds - first.gcSeconds;
    const name = 'pipeline';
    const of = `${spansPerRequest} spans a request`;
    const size = bytes / spans;
    return [
      { name, case: `${of} (${size.toFixed(0)} B a span)`, value: (million * 1e6) / seconds, unit: 'spans/s' },
      { name, case: of, value: (million * size) / seconds, unit: 'MB/s in' },
      { name, case: of, value: cpu / million, unit: 'CPU-s per 1M spans' },
      { name, case: of, value: share(kernel), unit: '% of it kernel' },
      { name, case: of, value: share(gc), unit: '% of it garbage collection' },
      { name, case: of, value: share(cpu - kernel - gc), unit: '% of it Kafka client and Node' },
      {
        name,
        case: of,
        value: (last.brokerCpuSeconds - first.brokerCpuSeconds) / million,
        unit: 'broker CPU-s per 1M spans',
      },
      { name, case: of, value: peakMb, unit: 'MB peak RSS' },
    ];
  } finally {
    child.kill('SIGTERM');
    await exitOf(child).catch(() => undefined);
    await kafka.admin.deleteTopics((await kafka.admin.listTopics()).filter((topic) => topic.startsWith(prefix)));
  }
}

async function fill(kafka: KafkaPort, topic: string, spansPerRequest: number, spans: number): Promise<number> {
  const requests = createCorpus({ seed: 1, signal: 'traces', itemsPerRequest: spansPerRequest }).requests(
    DISTINCT_REQUESTS,
  );
  const producer = await kafka.producer();
  const total = Math.ceil(spans / spansPerRequest);
  const perSend = Math.max(1, Math.floor(500_000 / (requests[0] as Uint8Array).length));
  let bytes = 0;
  for (let sent = 0; sent < total; sent += perSend) {
    const partition = (sent / perSend) % PARTITIONS;
    const records = Array.from({ length: Math.min(perSend, total - sent) }, (_, i) => {
      const value = requests[(sent + i) % requests.length] as Uint8Array;
      bytes += value.length;
      return { topic, partition, value };
    });
    for (const outcome of await producer.send(records)) if (outcome.kind !== 'stored') throw outcome.cause;
  }
  await producer.close();
  return bytes;
}

async function sampleWhen(
  child: ChildProcess,
  brokerPid: number,
  apiPort: number,
  reached: (items: number) => boolean,
): Promise<Sample> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`weir process ended with ${child.exitCode}`);
    const text = await fetch(`http://127.0.0.1:${apiPort}/metrics`).then(
      (response) => response.text(),
      () => '',
    );
    const read = (name: string) =>
      [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
        (sum, match) => sum + Number(match[1]),
        0,
      );
    const items = read('weir_items_in_total');
    if (reached(items)) {
      return {
        items,
        bytesIn: read('weir_bytes_in_total'),
        cpuSeconds: read('process_cpu_seconds_total'),
        kernelSeconds: read('weir_kernel_seconds_total'),
        gcSeconds: read('nodejs_gc_duration_seconds_sum'),
        brokerCpuSeconds: cpuSecondsOf(brokerPid),
        atMs: performance.now(),
      };
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** User and system time of another process, from /proc (0 where there is none). */
function cpuSecondsOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

function peakRssMb(pid: number): number {
  const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) / 1e3;
}

function exitOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null) => (code === 0 ? resolve() : reject(new Error(`child ended with ${code}`)));
    if (child.exitCode !== null) ended(child.exitCode);
    else child.once('exit', ended);
  });
}
