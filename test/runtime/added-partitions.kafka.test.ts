/** Partitions that an operator adds to an input topic, while a change of the ring is in flight and while there is none, and an input topic that comes late. */

import { Kafka, logLevel } from 'kafkajs';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { defaultConfig } from '../../src/config.ts';
import { askLeader } from '../../src/coordination/requests.ts';
import { readRingAcks } from '../../src/coordination/ring-acks.ts';
import { ringEpochOf } from '../../src/coordination/ring-epoch.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { everyRing } from '../support/every-ring.ts';
import { openPipelineRig } from '../support/pipeline-rig.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { takeRingCensus } from '../support/ring-census.ts';
import { recordsOf } from '../support/shard-census.ts';

const SPANS_PER_REQUEST = 20;
const REQUESTS = 40;

/** With no member yet. The caller closes the rig. */
async function open(brokers: string) {
  const port = await connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' }));
  const rig = await openPipelineRig(port, {
    routing: { vnodes: 8, traces: { shards: 3 }, metrics: { shards: 1 }, logs: { shards: 1 } },
    control: { tickMs: 20, ring: { carryMs: 0 } },
  });
  const rings = everyRing(rig.control);
  const corpus = createCorpus({ seed: 5, signal: 'traces', itemsPerRequest: SPANS_PER_REQUEST });
  return {
    ...{ rig, rings, topic: rig.names.ingest('traces') },
    feed: (partition: number) => rig.send('traces', corpus.requests(REQUESTS), { partition }),
    split: (shard: string) => askLeader(rig.port, rig.names, rig.control, { kind: 'split', shard }, { member: 'test' }),
    active: (epoch: number) => rig.control.waitFor(({ ring }) => ring!.epoch === epoch),
    /** That every span of so many feeds came out once, and in the right shard. */
    async censusOf(feeds: number) {
      await rig.drained();
      const items = feeds * REQUESTS * SPANS_PER_REQUEST;
      const census = await takeRingCensus(rig.port, rings);
      expect(census).toMatchObject({ items, misrouted: 0, torn: 0, backwards: 0 });
      expect(census.spans.size).toBe(items);
      return census;
    },
  };
}

describeOnKafka('partitions that are added', ({ brokers }) => {
  it('are waited for by the change in flight, and by the next one, and never go by an older table', {
    timeout: 60_000,
  }, async () => {
    const { rig, rings, topic, feed, split, active, censusOf } = await open(brokers);
    const admin = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    try {
      const addPartition = async (count: number) =>
        expect(await admin.createPartitions({ topicPartitions: [{ topic, count }] })).not.toBe(false);

      await rig.startController();
      const before = (await readRingAcks(rig.port.admin, rig.names, 1)).partitions;
      const first = await rig.startProcessor();
      await feed(0);
      await rig.drained();
      await first.close();
      await split('traces-0000');
      await addPartition(3);
      await feed(2);
      const acks = await readRingAcks(rig.port.admin, rig.names, 2);
      expect(acks.partitions).toBe(before + 1);
      expect(acks.waiting).toContainEqual({ topic, partition: 2, ringEpoch: null });
      await rig.startProcessor();
      await active(2);
      await rig.drained();

      // Under a processor that is at work, which has yet to hear of it.
      await addPartition(4);
      await feed(3);
      await split('traces-0001');
      await active(3);
      await feed(3);

      await censusOf(4);
      // A partition that came with a change in flight has nothing in the shards by an older table.
      const oldest = new Map<string, number>();
      for (const shard of rings.get(3)!.signals.traces.shards)
        for await (const { headers } of recordsOf(rig.port, shard.topic)) {
          const header = new Map(headers.map(([name, bytes]) => [name, new TextDecoder().decode(bytes)]));
          const partition = header.get('weir-source')!.split('/')[1]!;
          const epoch = Number(header.get('weir-ring-epoch'));
          oldest.set(partition, Math.min(epoch, oldest.get(partition) ?? epoch));
        }
      expect(oldest.get('0')).toBe(1);
      expect(oldest.get('2')).toBe(2);
      expect(oldest.get('3')).toBeGreaterThanOrEqual(2);
    } finally {
      await admin.disconnect();
      await rig.close();
    }
  });

  it('with a topic that comes while a change is in flight are waited for, and never go by an older table', {
    timeout: 60_000,
  }, async () => {
    const { rig, topic, feed, split, active, censusOf } = await open(brokers);
    const { admin } = rig.port;
    try {
      await admin.deleteTopics([topic]);
      await rig.startProcessor();
      await rig.startController();
      await split('traces-0000');
      const there = [rig.names.ingest('metrics'), rig.names.ingest('logs')];
      const epochs = async () =>
        (await Promise.all(there.map((of) => admin.committedOffsets(rig.names.processGroup, of))))
          .flat()
          .map(({ metadata }) => ringEpochOf(metadata));
      await expect.poll(epochs, { timeout: 20_000 }).toEqual([2, 2, 2, 2]);
      // What is to come may hold anything, so all that are there are not enough. Between two answers the leader has looked.
      const cancel = () =>
        askLeader(rig.port, rig.names, rig.control, { kind: 'cancel', id: 'none' }, { member: 'test' });
      for (let answers = 0; answers < 2; answers++)
        await expect(cancel()).rejects.toMatchObject({ code: 'REQUEST_REFUSED' });
      expect(rig.control.state).toMatchObject({ ring: { epoch: 1 }, proposed: { ring: { epoch: 2 } } });

      await admin.createTopics([{ name: topic, partitions: 2, config: {} }]);
      await feed(0);
      await feed(1);
      await active(2);

      const { holdings } = await censusOf(2);
      const routedBy = [...holdings.values()].flat().map(({ epoch }) => epoch);
      expect(new Set(routedBy)).toEqual(new Set([2]));
    } finally {
      await rig.close();
    }
  });
});
