import { expect, it } from 'vitest';
import { readRingAcks } from '../../src/coordination/ring-acks.ts';
import { offsetMetadata } from '../../src/coordination/ring-epoch.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { namesFor } from '../../src/names.ts';

it('waits for partitions at an older epoch, without an offset, and of an input topic that is not there', async () => {
  const port = createMemoryKafka().connect();
  const names = namesFor('');
  const [spans, metrics] = [names.ingest('traces'), names.ingest('metrics')];
  await port.admin.createTopics([spans, metrics].map((name) => ({ name, partitions: 2, config: {} })));
  const sink = await port.openSink({ fencingKey: 'k', groupId: names.processGroup, transactionTimeoutMs: 10_000 });
  const adopted = (topic: string, partition: number, epoch: number) =>
    ({ topic, partition, offset: 0n, metadata: offsetMetadata(epoch) }) as const;
  await sink.commit([adopted(spans, 0, 4), adopted(spans, 1, 3), adopted(metrics, 0, 2)]);

  expect(await readRingAcks(port.admin, names, 3)).toEqual({
    partitions: 5,
    waiting: [
      { topic: metrics, partition: 0, ringEpoch: 2 },
      { topic: metrics, partition: 1, ringEpoch: null },
      { topic: names.ingest('logs'), partition: 0, ringEpoch: null },
    ],
  });
  await sink.close();
  await port.close();
});
