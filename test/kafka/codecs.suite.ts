/** Every codec, both ways, with Apache Kafka: its broker, its Java client, and a processor between them. */
import { pino } from 'pino';
import { afterEach, expect, it } from 'vitest';
import { type Config, defaultConfig } from '../../src/config.ts';
import { ClusterView } from '../../src/kafka/kafkajs/cluster.ts';
import { codecNumber } from '../../src/kafka/kafkajs/compression.ts';
import { brokerAddresses, linkSettings } from '../../src/kafka/kafkajs/connection.ts';
import { fetchRequest } from '../../src/kafka/kafkajs/fetch-request.ts';
import type { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { Links } from '../../src/kafka/kafkajs/links.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { javaConsume, javaProduce } from '../support/java-client.ts';
import { asMultiset, decodeItems } from '../support/otlp-schema.ts';
import { openPipelineRig, type PipelineRig } from '../support/pipeline-rig.ts';
import type { RealKafka } from '../support/real-kafka.ts';
import { valuesOf } from '../support/shard-census.ts';

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
type Codec = (typeof CODECS)[number];
const log = pino({ level: 'silent' });

/** `connect`: of the driver that reads and writes. */
export function codecsSuite({ brokers }: RealKafka, connect: typeof connectKafka): void {
  let rig: PipelineRig | undefined;
  afterEach(() => rig?.close());

  const settings = (compression: Codec): Config['kafka'] => defaultConfig({ kafka: { brokers, compression } }).kafka;

  /** The codec in the attributes of each batch of partition 0, control batches left out. */
  async function codecsOf(topic: string): Promise<number[]> {
    const links = new Links(await linkSettings(settings('none'), log));
    try {
      const leader = await new ClusterView(links, brokerAddresses(brokers)).leaderOf(topic, 0);
      const link = await links.to(leader!);
      const partitions = [{ topic, partition: 0, offset: 0, maxBytes: 8_000_000 }];
      const answer = await link.request(
        fetchRequest({ isolation: 'read_committed', maxWaitMs: 0, maxBytes: 8_000_000, partitions }),
      );
      const { records } = answer.partitions[0]!;
      const codecs: number[] = [];
      for (let at = 0; at < records.length; at += 12 + records.readInt32BE(at + 8)) {
        const attributes = records.readInt16BE(at + 21);
        if ((attributes & 0x20) === 0) codecs.push(attributes & 7);
      }
      return codecs;
    } finally {
      await links.close();
    }
  }

  const requestsOf = (seed: number, count: number) =>
    createCorpus({ seed, signal: 'traces', itemsPerRequest: 30 }).requests(count);

  it('that we write are what the broker takes and Java reads, in and out of transactions', {
    timeout: 60_000,
  }, async () => {
    rig = await openPipelineRig(await connect(settings('none'), log));
    const [plain, transactional] = [rig.names.ingest('traces'), rig.names.ingest('logs')];
    const requests = requestsOf(1, CODECS.length);
    for (const [i, codec] of CODECS.entries()) {
      const port = await connect(settings(codec), log);
      const producer = await port.producer();
      const value = requests[i]!;
      expect(await producer.send([{ topic: plain, partition: 0, value }])).toEqual([{ kind: 'stored' }]);
      const sink = await port.openSink({
        fencingKey: rig.names.processorKey(plain, i),
        groupId: rig.names.processGroup,
        transactionTimeoutMs: 10_000,
      });
      sink.stage(transactional, 0, value, [['tenant', Buffer.from('acme')]]);
      expect(await sink.commit([{ topic: plain, partition: 0, offset: BigInt(i) }])).toEqual({ kind: 'committed' });
      await port.close();
    }
    const numbers = CODECS.map((codec) => codecNumber(codec));
    expect(await codecsOf(plain)).toEqual(numbers);
    expect(await codecsOf(transactional)).toEqual(numbers);
    const read = await javaConsume(brokers, [plain, transactional]);
    const written = requests.map((request) => Buffer.from(request));
    expect(read.get(plain)).toEqual(written);
    expect(read.get(transactional)).toEqual(written);
  });

  it('that Java wrote, mixed in one topic, go through a processor item by item, and out again compressed', {
    timeout: 60_000,
  }, async () => {
    rig = await openPipelineRig(await connect(settings('zstd'), log));
    const topic = rig.names.ingest('traces');
    const requests = requestsOf(2, 3 * CODECS.length);
    const records = requests.map((value, i) => ({ topic, partition: i & 1, codec: CODECS[i % CODECS.length]!, value }));
    await javaProduce(brokers, records);
    expect(new Set(await codecsOf(topic))).toEqual(new Set(CODECS.map((codec) => codecNumber(codec))));
    await rig.startProcessor();
    await rig.drained();
    const out = [];
    for (const shard of rig.ring.signals.traces.shards)
      for await (const value of valuesOf(rig.port, shard.topic)) out.push(...decodeItems('traces', value!));
    expect(asMultiset(out)).toEqual(asMultiset(requests.flatMap((value) => decodeItems('traces', value))));
    const busy = rig.ring.signals.traces.shards.map((shard) => shard.topic);
    const outgoing = (await Promise.all(busy.map(codecsOf))).flat();
    expect(outgoing.length).toBeGreaterThan(0);
    expect(new Set(outgoing)).toEqual(new Set([codecNumber('zstd')]));
    expect((await rig.metrics.deadLetter.get()).values).toEqual([]);
  });
}
