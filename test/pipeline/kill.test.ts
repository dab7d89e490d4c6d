/**
 * The promise at its hardest: `weir process` as a child, killed with SIGKILL again and again at random moments and between
 * produce and commit, on real Apache Kafka. Every span comes out exactly once, each trace in one shard.
 */
import { randomInt } from 'node:crypto';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import type { Producer } from '../../src/kafka/port.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { namesFor } from '../../src/names.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { takeCensus } from '../support/shard-census.ts';
import { runWeir, startWeir } from '../support/weir-process.ts';

const SPANS = 200_000;
const SPANS_PER_REQUEST = 100;
const PARTITIONS = 4;
const KILLS = 7;

describeOnKafka('weir process, killed', ({ brokers }) => {
  it(`lets ${SPANS.toLocaleString('en')} spans through ${KILLS} kills exactly once`, { timeout: 180_000 }, async () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    const prefix = `kill-${seed}.`;
    const names = namesFor(prefix);
    const env = {
      WEIR_KAFKA: brokers,
      WEIR_PREFIX: prefix,
      WEIR_TOPICS_INGEST_PARTITIONS: String(PARTITIONS),
      WEIR_KAFKA_SESSION_TIMEOUT_MS: '2000',
      // Small polls, so that a kill finds many transactions to land in.
      WEIR_POLL_MAX_RECORDS: '16',
      WEIR_LOG_LEVEL: 'warn',
    };
    const kafka = await connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' }));
    try {
      const created = await runWeir(['topics', '--create'], env);
      expect(created.code, created.output).toBe(0);
      const producer = await kafka.producer();
      const corpus = createCorpus({ seed, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
      const perRound = SPANS / SPANS_PER_REQUEST / (KILLS + 1);

      for (let kill = 0; kill < KILLS; kill++) {
        await feed(producer, names.ingest('traces'), corpus.requests(perRound));
        const weir = await startWeir(['process'], env);
        // At work, not starting: at least one poll of this process has committed.
        await weir.waitForMetric('weir_polls_total', (polls) => polls > 0);
        await new Promise((resolve) => setTimeout(resolve, random.integer(0, 250)));
        await weir.kill();
      }
      await feed(producer, names.ingest('traces'), corpus.requests(perRound));
      const last = await startWeir(['process'], env);
      await last.waitForMetric('weir_polls_total', (polls) => polls > 0);
      while (
        [...(await kafka.admin.lag(names.processGroup, names.ingest('traces'))).values()].some((lag) => lag > 0n)
      ) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      expect(await last.stop(), last.output()).toBe(0);

      const census = await takeCensus(kafka, names, 'traces', 16);
      const uncommitted = await takeCensus(kafka, names, 'traces', 16, 'read_uncommitted');
      const doubled = [...census.spans.values()].filter((count) => count > 1).length;
      const torn = [...census.traces.values()].filter((shards) => shards.size > 1).length;
      console.log(
        `kill test, seed ${seed}: ${SPANS} spans in, ${KILLS} kills; read_committed saw ${census.items} items: ` +
          `${SPANS - census.spans.size} lost, ${doubled} doubled, ${torn} of ${census.traces.size} traces in more than one shard; ` +
          `read_uncommitted saw ${uncommitted.items} items, ${uncommitted.items - uncommitted.spans.size} of them doubles`,
      );
      expect(census.spans.size).toBe(SPANS);
      expect(census.items).toBe(SPANS);
      expect(torn).toBe(0);
    } finally {
      await kafka.admin.deleteTopics((await kafka.admin.listTopics()).filter((topic) => topic.startsWith(prefix)));
      await kafka.close();
    }
  });
});

async function feed(producer: Producer, topic: string, requests: readonly Uint8Array[]): Promise<void> {
  const records = requests.map((value, i) => ({ topic, partition: i % PARTITIONS, value }));
  for (const outcome of await producer.send(records)) if (outcome.kind !== 'stored') throw outcome.cause;
}
