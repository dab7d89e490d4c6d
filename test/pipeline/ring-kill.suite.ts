/**
 * The ring changes while traffic passes and `weir process` and `weir control` are killed with SIGKILL in the middle of it, on real Apache
 * Kafka: every span comes out exactly once, each trace in one shard per ring epoch, and nothing by an older epoch once a newer one is active.
 */

import { randomInt } from 'node:crypto';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { followControlLog } from '../../src/coordination/control-log.ts';
import { askLeader } from '../../src/coordination/requests.ts';
import type { Wish } from '../../src/coordination/wishes.ts';
import { startEmbedded } from '../../src/kafka/embedded.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { createSeededRandom } from '../../src/loadgen/seeded-random.ts';
import { namesFor } from '../../src/names.ts';
import { everyRing } from '../support/every-ring.ts';
import { endsOf, takeRingCensus } from '../support/ring-census.ts';
import { runWeir, startWeir, type WeirProcess } from '../support/weir-process.ts';

const SPANS_PER_REQUEST = 100;
const PARTITIONS = 4;
const LONG_MS = 300_000;
const CHANGES: readonly Wish[] = [
  { kind: 'split', shard: 'traces-0000' },
  { kind: 'merge', shard: 'traces-0001', into: 'traces-0002' },
  { kind: 'create', signal: 'traces', name: 'extra', capacity: 2 },
  { kind: 'move', from: 'traces-0003', to: 'extra', slots: 2_000 },
  { kind: 'retire', shard: 'traces-0002' },
  { kind: 'split', shard: 'extra' },
];

/** As many kills as changes: of the processor and of the leader in turn, each while its change is in flight or about to be. */
export function ringKillSuite({
  spans,
  changes,
  timeoutMs,
}: {
  spans: number;
  changes: number;
  timeoutMs: number;
}): void {
  it(`lets ${spans.toLocaleString('en')} spans through ${changes} changes of the ring and ${changes} kills exactly once`, {
    timeout: timeoutMs,
  }, async () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    const prefix = `ring-${seed}.`;
    const names = namesFor(prefix);
    const broker = await startEmbedded({ ephemeral: true, settings: { 'log.retention.bytes': '-1' } });
    const kafka = await connectKafka(
      defaultConfig({ kafka: { brokers: broker.brokers } }).kafka,
      pino({ level: 'silent' }),
    );
    const env = {
      WEIR_KAFKA: broker.brokers,
      // Nobody may outlive the kill: workers would drain.
      WEIR_WORKERS: '1',
      WEIR_PREFIX: prefix,
      WEIR_TOPICS_INGEST_PARTITIONS: String(PARTITIONS),
      WEIR_ROUTING_TRACES_SHARDS: '4',
      WEIR_KAFKA_SESSION_TIMEOUT_MS: '2000',
      WEIR_CONTROL_TICK_MS: '100',
      WEIR_CONTROL_REBALANCE_APPLY: 'false',
      // Of all that comes shortly before a change there are copies, also where a process takes long to start.
      WEIR_CONTROL_RING_CARRY_MS: String(LONG_MS),
      // Small polls, so that a change finds many transactions around it.
      WEIR_POLL_MAX_RECORDS: '16',
      WEIR_LOG_LEVEL: 'warn',
    };
    const running = new Map<'process' | 'control', WeirProcess>();
    const replace = async (role: 'process' | 'control') => {
      await running.get(role)?.kill();
      running.set(role, await startWeir([role], env));
    };
    const producer = await kafka.producer();
    try {
      const created = await runWeir(['topics', '--create'], env);
      expect(created.code, created.output).toBe(0);
      const control = await followControlLog(kafka, names);
      const rings = everyRing(control);
      const ends = new Map<number, Map<string, bigint>>();
      const corpus = createCorpus({ seed, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
      let left = spans / SPANS_PER_REQUEST;
      const feed = async (requests: number) => {
        left -= requests;
        const topic = names.ingest('traces');
        const records = corpus.requests(requests).map((value, i) => ({ topic, partition: i % PARTITIONS, value }));
        for (const outcome of await producer.send(records)) if (outcome.kind !== 'stored') throw outcome.cause;
      };
      const half = Math.floor(left / changes / 2);
      await Promise.all([replace('process'), replace('control')]);

      for (const [index, wish] of CHANGES.slice(0, changes).entries()) {
        const epoch = index + 2;
        await feed(half);
        await running.get('process')!.waitForMetric('weir_polls_total', (polls) => polls > 0);
        const victim = index % 2 === 0 ? 'process' : 'control';
        const asked = askLeader(kafka, names, control, wish, { member: 'test', timeoutMs: LONG_MS });
        // Half of the leaders die before they have proposed, or while they do.
        if (victim === 'process' || random.integer(0, 1) === 1)
          await control.waitFor(({ proposed, ring }) => (proposed?.ring ?? ring!).epoch >= epoch);
        const fed = feed(half);
        await new Promise((resolve) => setTimeout(resolve, random.integer(0, 150)));
        await replace(victim);
        await Promise.all([asked, fed]);
        await control.waitFor(({ ring }) => ring!.epoch === epoch);
        ends.set(epoch, await endsOf(kafka, rings));
      }
      await feed(left);
      const lags = async () => [...(await kafka.admin.lag(names.processGroup, names.ingest('traces'))).values()];
      while ((await lags()).some((lag) => lag > 0n)) await new Promise((resolve) => setTimeout(resolve, 50));
      for (const child of running.values()) {
        // The last one may have been started a moment ago: before it serves anything it would not drain, but die.
        await child.waitForMetric('process_start_time_seconds', (seconds) => seconds > 0);
        expect(await child.stop(), child.output()).toBe(0);
      }
      await control.close();

      const census = await takeRingCensus(kafka, rings, ends);
      const doubled = [...census.spans.values()].filter((count) => count > 1).length;
      console.log(
        `ring test, seed ${seed}: ${spans} spans in, ${changes} changes of the ring, ${changes} kills: ` +
          `${spans - census.spans.size} lost, ${doubled} doubled, ${census.torn} traces in two shards of one epoch, ` +
          `${census.misrouted} spans in a shard that is not theirs, ${census.late} records by an older epoch than the active one; ${census.copies.size} spans copied to their new shards, ${census.badCopies} of them twice or wrongly`,
      );
      const { items, torn, misrouted, backwards, late, badCopies } = census;
      expect({ spans: census.spans.size, items, torn, misrouted, backwards, late, badCopies }).toEqual({
        ...{ spans, items: spans, torn: 0, misrouted: 0, backwards: 0, late: 0, badCopies: 0 },
      });
      expect(census.copies.size).toBeGreaterThan(0);
      const sources = [...census.markers.values()].map(({ size }) => size);
      expect(sources).toEqual(Array(changes).fill(PARTITIONS));
    } finally {
      for (const { child } of running.values()) child.kill('SIGKILL');
      await producer.close();
      await kafka.close();
      await broker.stop();
    }
  });
}
