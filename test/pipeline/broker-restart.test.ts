/**
 * The broker is killed under load and stays away for ten seconds. Nobody does anything about it: the bridge and the
 * processor are the same processes afterwards, and what was on Kafka or acknowledged comes out once.
 */
import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { type EmbeddedBroker, freePort, startEmbedded } from '../../src/kafka/embedded.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { type Corpus, createCorpus } from '../../src/loadgen/corpus.ts';
import { namesFor } from '../../src/names.ts';
import { decodeItems } from '../support/otlp-schema.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { takeCensus, valuesOf } from '../support/shard-census.ts';
import { runWeir, startWeir, type WeirProcess } from '../support/weir-process.ts';

const AWAY_MS = 10_000;
const PARTITIONS = 4;
const SPANS_PER_REQUEST = 10;
const REQUESTS_BEFORE = 1_500;
/** Acknowledged, before the kill and once more after it. */
const REQUESTS_AROUND = 200;
/** All below the outage. The bridge gives up before some exporters, and after others. */
const ACK_TIMEOUT_MS = 3_000;
const EXPORTER_TIMEOUTS_MS = [2_000, 6_000, 2_000, 6_000];

describeOnKafka('a broker that is killed under load and comes back', () => {
  it('finds everything again, with nobody doing anything', { timeout: 300_000 }, async () => {
    const seed = randomInt(2 ** 31);
    const names = namesFor('restart.');
    const dataDir = await mkdtemp(join(tmpdir(), 'weir-restart-'));
    const port = await freePort();
    const start = () => startEmbedded({ dataDir, port, settings: { 'log.retention.bytes': '-1' } });
    let broker: EmbeddedBroker = await start();
    onTestFinished(async () => {
      await broker.kill();
      await rm(dataDir, { recursive: true });
    });
    const { brokers } = broker;
    const kafka = await connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' }));
    onTestFinished(() => kafka.close());
    const httpPort = await freePort([port]);
    const env = {
      WEIR_KAFKA: brokers,
      WEIR_PREFIX: names.prefix,
      WEIR_TOPICS_INGEST_PARTITIONS: String(PARTITIONS),
      WEIR_HTTP_PORT: String(httpPort),
      WEIR_GRPC_PORT: '0',
      WEIR_BRIDGE_ACK_TIMEOUT_MS: String(ACK_TIMEOUT_MS),
      // Small polls, so that the processor is at work for a while, and the kill finds transactions under way.
      WEIR_POLL_MAX_RECORDS: '2',
      WEIR_WORKERS: '1',
      WEIR_LOG_LEVEL: 'warn',
    };
    const created = await runWeir(['topics', '--create'], env);
    expect(created.code, created.output).toBe(0);

    const corpus = createCorpus({ seed, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
    const producer = await kafka.producer();
    const before = corpus.requests(REQUESTS_BEFORE);
    const topic = names.ingest('traces');
    const store = async (requests: readonly Uint8Array[]) => {
      const stored = await producer.send(requests.map((value, i) => ({ topic, partition: i % PARTITIONS, value })));
      for (const outcome of stored) expect(outcome).toEqual({ kind: 'stored' });
    };
    const half = REQUESTS_BEFORE / 2;
    await store(before.slice(0, half));

    const processes: WeirProcess[] = [];
    onTestFinished(async () => {
      for (const { child, kill } of processes) if (child.exitCode === null && child.signalCode === null) await kill();
    });
    const run = async (role: string) => {
      const weir = await startWeir([role], env);
      processes.push(weir);
      return weir;
    };
    const bridge = await run('bridge');
    while ((await readiness(bridge)) !== 200) await sleep(50);
    const exporters = startExporters(`http://127.0.0.1:${httpPort}/v1/traces`, corpus);
    await exporters.acknowledges(REQUESTS_AROUND);
    const processor = await run('process');
    // Counted when a poll has committed.
    await processor.waitForMetric('weir_records_in_total', (records) => records > 0);

    // What has come a moment ago it cannot have done, however long this process stood still before.
    await store(before.slice(half));
    await broker.kill();
    const killedAt = performance.now();
    expect(await processor.metric('weir_records_in_total')).toBeLessThan(REQUESTS_BEFORE);
    await sleep(AWAY_MS);
    broker = await start();
    const backAt = performance.now();
    const committedBefore = await processor.metric('weir_records_in_total');
    await exporters.acknowledges(1);
    const acknowledgedAt = performance.now();
    await processor.waitForMetric('weir_records_in_total', (records) => records > committedBefore);
    const committedAt = performance.now();
    await exporters.acknowledges(REQUESTS_AROUND);
    const { acknowledged, refused, unanswered } = await exporters.stop();
    while (await lags(kafka, names.processGroup, topic)) await sleep(50);

    const ingested = new Map<string, number>();
    for (let partition = 0; partition < PARTITIONS; partition++) {
      for await (const value of valuesOf(kafka, topic, 'read_committed', partition)) {
        for (const spanId of spansOf(value!)) ingested.set(spanId, (ingested.get(spanId) ?? 0) + 1);
      }
    }
    const census = await takeCensus(kafka, names, 'traces', 16);
    const uncommitted = await takeCensus(kafka, names, 'traces', 16, 'read_uncommitted');
    const promised = [...before, ...acknowledged].flatMap(spansOf);
    const torn = [...census.traces.values()].filter((shards) => shards.size > 1).length;
    const twice = [...ingested.values()].filter((count) => count > 1).length;
    const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
    console.log(
      `broker restart, seed ${seed}: away for ${seconds(backAt - killedAt)}; first acknowledgement ` +
        `${seconds(acknowledgedAt - backAt)} and first commit ${seconds(committedAt - backAt)} after it was back; ` +
        `${acknowledged.length} requests acknowledged, after ${refused} answers to try again and ${unanswered} that did not come; ${promised.length} spans promised, ` +
        `${promised.filter((spanId) => !census.spans.has(spanId)).length} lost; ${twice} spans are twice on the ingest ` +
        `topic, as their request was tried again without knowing; ${census.items} spans came out of ` +
        `${[...ingested.values()].reduce((sum, count) => sum + count, 0)}, ` +
        `${uncommitted.items - census.items} more in aborted transactions; ${torn} traces in more than one shard`,
    );
    expect(promised.filter((spanId) => !ingested.has(spanId))).toEqual([]);
    expect(Math.min(refused, unanswered)).toBeGreaterThan(0);
    expect(differences(ingested, census.spans)).toEqual([]);
    expect(torn).toBe(0);
    for (const weir of processes) {
      // Never ended, so the one that was started; and of use.
      expect(weir.child.exitCode, weir.output()).toBe(null);
      expect(await readiness(weir), weir.output()).toBe(200);
      expect(await weir.stop(), weir.output()).toBe(0);
    }
  });
});

/** Exporters that send requests one after the other, each until it is acknowledged. */
function startExporters(url: string, corpus: Corpus) {
  const acknowledged: Uint8Array[] = [];
  let refused = 0;
  let unanswered = 0;
  let stopping = false;
  const exporters = EXPORTER_TIMEOUTS_MS.map(async (timeoutMs) => {
    while (!stopping) {
      const body = corpus.next();
      while (!(await sent(body, timeoutMs))) await sleep(250);
      acknowledged.push(body);
      await sleep(10);
    }
  });
  const ended = Promise.all(exporters);
  ended.catch(() => 'told to whoever waits for acknowledgements, or for the end');

  /** False: worth another try, as the specification of OTLP/HTTP says. */
  async function sent(body: Uint8Array, timeoutMs: number): Promise<boolean> {
    let response: Response;
    try {
      response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf' },
        body: new Uint8Array(body),
        signal: AbortSignal.timeout(timeoutMs),
      });
      await response.arrayBuffer();
    } catch (error) {
      const { name, cause } = error as Error & { cause?: { code?: string } };
      // Or a connection that the bridge closed as idle at the moment in which it was used again.
      if (name !== 'TimeoutError' && !['UND_ERR_SOCKET', 'ECONNRESET'].includes(cause?.code ?? '')) throw error;
      unanswered++;
      return false;
    }
    if (response.status === 200) return true;
    if (response.status !== 503) throw new Error(`the bridge answers ${response.status}`);
    refused++;
    return false;
  }

  return {
    /** Resolves when that many more are. */
    async acknowledges(count: number): Promise<void> {
      const target = acknowledged.length + count;
      while (acknowledged.length < target) await Promise.race([sleep(20), ended]);
    },
    async stop() {
      stopping = true;
      await ended;
      return { acknowledged, refused, unanswered };
    },
  };
}

const spansOf = (value: Uint8Array) => decodeItems('traces', value).map(({ spanId }) => spanId);

async function readiness({ apiPort }: WeirProcess): Promise<number | undefined> {
  return fetch(`http://127.0.0.1:${apiPort}/readyz`).then(
    ({ status }) => status,
    () => undefined,
  );
}

async function lags(kafka: KafkaPort, groupId: string, topic: string): Promise<boolean> {
  return [...(await kafka.admin.lag(groupId, topic)).values()].some((lag) => lag > 0n);
}

/** Spans that are in one as often as in the other do not show. */
function differences(expected: ReadonlyMap<string, number>, found: ReadonlyMap<string, number>): string[] {
  return [...new Set([...expected.keys(), ...found.keys()])]
    .map((spanId) => ({ spanId, expected: expected.get(spanId) ?? 0, found: found.get(spanId) ?? 0 }))
    .filter((span) => span.expected !== span.found)
    .map((span) => `${span.spanId}: ${span.expected} times in, ${span.found} times out`);
}
