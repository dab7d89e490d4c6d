/**
 * The promise at its hardest: `weir process` as a child, killed with SIGKILL again and again, at random moments and between
 * produce and commit, on real Apache Kafka. Every span comes out exactly once, each trace in one shard.
 */
import { randomInt } from 'node:crypto';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { freePort, startEmbedded } from '../../src/kafka/embedded.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import type { Producer } from '../../src/kafka/port.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { namesFor } from '../../src/names.ts';
import { END_TXN, startKafkaProxy } from '../support/kafka-proxy.ts';
import { takeCensus } from '../support/shard-census.ts';
import { runWeir, startWeir, type WeirProcess } from '../support/weir-process.ts';

const SPANS_PER_REQUEST = 100;
const PARTITIONS = 4;

export interface KillOptions {
  readonly spans: number;
  readonly kills: number;
  readonly timeoutMs: number;
  /** Default kafkajs. */
  readonly driver?: string;
}

export function killSuite({ spans, kills, timeoutMs, driver = 'kafkajs' }: KillOptions): void {
  it(`lets ${spans.toLocaleString('en')} spans through ${kills} kills exactly once`, {
    timeout: timeoutMs,
  }, async () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    const prefix = `kill-${seed}.`;
    const names = namesFor(prefix);
    // A broker of its own: the processor reaches it through a proxy that sees a transaction between produce and commit.
    const [listenPort, advertisedPort] = [await freePort(), await freePort()];
    const broker = await startEmbedded({
      ephemeral: true,
      extraListeners: [{ name: 'PROXIED', listenPort, advertisedPort }],
      settings: { 'log.retention.bytes': '-1' },
    });
    const proxy = await startKafkaProxy({ listenPort: advertisedPort, brokerPort: listenPort });
    const kafka = await connectKafka(
      defaultConfig({ kafka: { brokers: broker.brokers } }).kafka,
      pino({ level: 'silent' }),
    );
    const env = {
      WEIR_KAFKA: `127.0.0.1:${advertisedPort}`,
      WEIR_KAFKA_DRIVER: driver,
      WEIR_PREFIX: prefix,
      WEIR_TOPICS_INGEST_PARTITIONS: String(PARTITIONS),
      WEIR_KAFKA_SESSION_TIMEOUT_MS: '2000',
      // Small polls, so that a kill finds many transactions to land in.
      WEIR_POLL_MAX_RECORDS: '16',
      // Nobody may outlive the kill: workers would drain.
      WEIR_WORKERS: '1',
      WEIR_LOG_LEVEL: 'warn',
    };
    let running: WeirProcess | undefined;
    try {
      const created = await runWeir(['topics', '--create'], env);
      expect(created.code, created.output).toBe(0);
      const producer = await kafka.producer();
      const corpus = createCorpus({ seed, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
      const perRound = Math.floor(spans / SPANS_PER_REQUEST / (kills + 1));

      for (let kill = 0; kill < kills; kill++) {
        await feed(producer, names.ingest('traces'), corpus.requests(perRound));
        const between = kill % 2 === 1;
        const commitLost = between ? proxy.swallow(END_TXN, random.integer(0, 5)) : undefined;
        // Two kills each way: as a member that the group has to miss first, and as one whose successor takes its place.
        running = await startWeir(['process'], kill % 4 < 2 ? env : { ...env, WEIR_KAFKA_INSTANCE_ID: 'one' });
        if (between) {
          // All is produced, the offset is in the transaction, the commit never arrives.
          await commitLost;
        } else {
          // At work, not starting: at least one poll of this process has committed.
          await running.waitForMetric('weir_polls_total', (polls) => polls > 0);
          await new Promise((resolve) => setTimeout(resolve, random.integer(0, 250)));
        }
        await running.kill();
      }
      const rest = spans / SPANS_PER_REQUEST - kills * perRound;
      await feed(producer, names.ingest('traces'), corpus.requests(rest));
      running = await startWeir(['process'], env);
      const lags = async () => [...(await kafka.admin.lag(names.processGroup, names.ingest('traces'))).values()];
      while ((await lags()).some((lag) => lag > 0n)) await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await running.stop(), running.output()).toBe(0);

      const census = await takeCensus(kafka, names, 'traces', 16);
      const uncommitted = await takeCensus(kafka, names, 'traces', 16, 'read_uncommitted');
      const doubled = [...census.spans.values()].filter((count) => count > 1).length;
      const torn = [...census.traces.values()].filter((shards) => shards.size > 1).length;
      console.log(
        `kill test, seed ${seed}: ${spans} spans in, ${kills} kills; read_committed saw ${census.items} items: ` +
          `${spans - census.spans.size} lost, ${doubled} doubled, ${torn} of ${census.traces.size} traces in more than one shard; ` +
          `read_uncommitted saw ${uncommitted.items} items, ${uncommitted.items - uncommitted.spans.size} of them doubles`,
      );
      expect(census.spans.size).toBe(spans);
      expect(census.items).toBe(spans);
      expect(torn).toBe(0);
      // The commits that never arrived have left their aborted batches for those who do not ask for committed ones.
      expect(uncommitted.items).toBeGreaterThan(spans);
    } finally {
      if (running && running.child.exitCode === null && running.child.signalCode === null) await running.kill();
      await kafka.close();
      await proxy.close();
      await broker.stop();
    }
  });
}

async function feed(producer: Producer, topic: string, requests: readonly Uint8Array[]): Promise<void> {
  const records = requests.map((value, i) => ({ topic, partition: i % PARTITIONS, value }));
  for (const outcome of await producer.send(records)) if (outcome.kind !== 'stored') throw outcome.cause;
}
