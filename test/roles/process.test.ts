/** `weir process` with worker processes, as a user runs it, on real Kafka. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { namesFor } from '../../src/names.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { takeCensus } from '../support/shard-census.ts';
import { runWeir, startWeir, type WeirProcess } from '../support/weir-process.ts';

const PARTITIONS = 4;
const SPANS_PER_REQUEST = 10;
const REQUESTS = 400;

describeOnKafka('weir process with workers', ({ brokers }) => {
  const prefix = `workers-${process.pid}.`;
  const names = namesFor(prefix);
  const env = {
    WEIR_KAFKA: brokers,
    WEIR_PREFIX: prefix,
    WEIR_TOPICS_INGEST_PARTITIONS: String(PARTITIONS),
    // Small polls, so that a kill finds work under way.
    WEIR_POLL_MAX_RECORDS: '4',
  };
  let kafka: KafkaPort;
  let weir: WeirProcess | undefined;

  beforeAll(async () => {
    kafka = await connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' }));
    const created = await runWeir(['topics', '--create'], env);
    expect(created.code, created.output).toBe(0);
  });
  afterEach(async () => {
    if (weir && weir.child.exitCode === null && weir.child.signalCode === null) await weir.kill();
  });
  afterAll(async () => {
    await kafka.admin.deleteTopics((await kafka.admin.listTopics()).filter((topic) => topic.startsWith(prefix)));
    await kafka.close();
  });

  const start = async (workers: number, sessionTimeoutMs = 2_000, more: Readonly<Record<string, string>> = {}) => {
    const settings = { ...env, WEIR_KAFKA_SESSION_TIMEOUT_MS: String(sessionTimeoutMs), ...more };
    weir = await startWeir(['process', '--workers', String(workers)], settings);
    return weir;
  };
  /** `worker started` lines of the log, in order. */
  const pidsOf = (running: WeirProcess, worker: number) =>
    running
      .output()
      .split('\n')
      .filter((line) => line.includes('"worker started"'))
      .map((line) => JSON.parse(line) as { worker: number; pid: number })
      .filter((line) => line.worker === worker)
      .map(({ pid }) => pid);
  /** Until `/metrics` and `/readyz` show what is wanted. */
  async function until(running: WeirProcess, holds: (metrics: string, ready: boolean) => boolean): Promise<string> {
    for (;;) {
      const [metrics, readyz] = await Promise.all(
        ['/metrics', '/readyz'].map((path) => fetch(`http://127.0.0.1:${running.apiPort}${path}`).catch(() => null)),
      );
      const text = (await metrics?.text()) ?? '';
      if (holds(text, readyz?.status === 200)) return text;
      if (running.child.exitCode !== null) throw new Error(`weir process ended:\n${running.output()}`);
      await sleep(50);
    }
  }
  const seriesOf = (metrics: string, series: string) => Number(metrics.split(`\n${series} `)[1]?.split('\n')[0]);
  const isAlive = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  const assignedTo = (metrics: string, worker: number) =>
    seriesOf(metrics, `weir_partitions_assigned{worker="${worker}"}`);

  it('spreads the partitions, and lets one be killed without touching the other', async () => {
    // The group does not miss the one that is killed before it is back.
    const running = await start(2, 120_000);
    const balanced = (metrics: string) => assignedTo(metrics, 1) === 6 && assignedTo(metrics, 2) === 6;
    const before = await until(running, (metrics, ready) => ready && balanced(metrics));
    const startOfSecond = seriesOf(before, 'process_start_time_seconds{worker="2"}');

    const producer = await kafka.producer();
    const corpus = createCorpus({ seed: 7, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
    const topic = names.ingest('traces');
    const feed = async () => {
      const values = corpus.requests(REQUESTS);
      const outcomes = await producer.send(values.map((value, i) => ({ topic, partition: i % PARTITIONS, value })));
      for (const outcome of outcomes) expect(outcome).toEqual({ kind: 'stored' });
    };
    await feed();
    await until(running, (metrics) => seriesOf(metrics, 'weir_records_in_total{signal="traces",worker="1"}') > 0);
    const assignmentsOf = (worker: number) =>
      running
        .output()
        .split('\n')
        .filter((line) => line.includes(`"worker":${worker},`) && line.includes('"input partitions assigned"')).length;
    const assignmentsOfSecond = assignmentsOf(2);
    process.kill(pidsOf(running, 1)[0]!, 'SIGKILL');
    await until(running, () => pidsOf(running, 1).length === 2);
    await feed();
    const after = await until(running, (metrics, ready) => ready && balanced(metrics));
    expect(seriesOf(after, 'weir_worker_restarts_total{worker="1"}')).toBe(1);
    expect(seriesOf(after, 'weir_worker_up{worker="1"}')).toBe(1);
    expect(seriesOf(after, 'process_start_time_seconds{worker="2"}')).toBe(startOfSecond);
    expect(pidsOf(running, 1)).toHaveLength(2);
    expect(assignmentsOfSecond).toBeGreaterThan(0);
    expect(assignmentsOf(2)).toBe(assignmentsOfSecond);

    const behind = async () => [...(await kafka.admin.lag(names.processGroup, topic)).values()].some((lag) => lag > 0n);
    while (await behind()) await sleep(50);
    const census = await takeCensus(kafka, names, 'traces', 16);
    expect(census.spans.size).toBe(2 * REQUESTS * SPANS_PER_REQUEST);
    expect(census.items).toBe(census.spans.size);

    const pids = [...pidsOf(running, 1), ...pidsOf(running, 2)];
    expect(await running.stop('SIGTERM'), running.output()).toBe(0);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(running.output()).toMatch(/"worker":2.*"msg":"input partitions assigned"/);
    await producer.close();
  });

  it('leaves no worker behind when it is killed itself', async () => {
    const running = await start(2);
    await until(running, (_, ready) => ready);
    await running.kill();
    const pids = [1, 2].flatMap((worker) => pidsOf(running, worker));
    expect(pids).toHaveLength(2);
    while (pids.some(isAlive)) await sleep(50);
  });

  it('gives way to a later one with its instance id, in one sentence, and does not come back', {
    timeout: 60_000,
  }, async () => {
    const shared = { WEIR_KAFKA_INSTANCE_ID: 'twin' };
    const earlier = await start(2, 30_000, shared);
    onTestFinished(() => earlier.kill());
    const settled = (metrics: string, ready: boolean) =>
      ready && assignedTo(metrics, 1) > 0 && assignedTo(metrics, 2) > 0;
    await until(earlier, settled);
    const later = await start(2, 30_000, shared);
    if (earlier.child.exitCode === null) await once(earlier.child, 'exit');
    expect(earlier.child.exitCode).toBe(1);
    expect(earlier.output()).toMatch(/^weir: two processes share the instance id twin-/m);
    expect(earlier.output()).not.toMatch(/started again|closed in order/);
    await until(later, settled);
    expect(pidsOf(later, 1)).toHaveLength(1);
    expect(pidsOf(later, 2)).toHaveLength(1);
  });

  it('ends with one sentence where the settings are at fault', async () => {
    const { code, output } = await runWeir(['process', '--workers', '2'], { ...env, WEIR_ROUTING_TRACES_SHARDS: '8' });
    expect(code, output).toBe(1);
    expect(output.split('\n').filter((line) => line.startsWith('weir: '))).toHaveLength(1);
    expect(output).toMatch(/^weir: .*routing/m);
  });
});
