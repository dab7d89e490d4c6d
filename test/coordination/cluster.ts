/** A control log on the in-process Kafka, as the coordination tests need it. */
import { type Config, defaultConfig } from '../../src/config.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { createReferenceHash } from '../../src/kernels/hash/reference.ts';
import { createReferenceRing } from '../../src/kernels/ring/reference.ts';
import { createReferenceScore } from '../../src/kernels/score/reference.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';
import { type Names, namesFor } from '../../src/names.ts';
import { endOf } from '../support/shard-census.ts';

export const kernels = {
  split: createReferenceSplit(),
  hash: createReferenceHash(),
  ring: createReferenceRing(),
  score: createReferenceScore(),
};

/** Few vnodes: the tables are then made in no time. */
export function testConfig(prefix = ''): Config {
  return defaultConfig({
    prefix,
    routing: { vnodes: 8, traces: { shards: 4 }, metrics: { shards: 4 }, logs: { shards: 4 } },
  });
}

const FOR_EVER = { 'retention.ms': '-1', 'retention.bytes': '-1', 'cleanup.policy': 'delete' };

export async function createControlTopics(port: KafkaPort, prefix = ''): Promise<Names> {
  const names = namesFor(prefix);
  await port.admin.createTopics([
    { name: names.control, partitions: 1, config: FOR_EVER },
    { name: names.load, partitions: 1, config: {} },
    { name: names.decisions, partitions: 1, config: {} },
    { name: names.requests, partitions: 1, config: {} },
  ]);
  return names;
}

/** Every value of a one-partition topic that a read_committed reader sees once the transactions have ended that are open now. */
export async function readAll(port: KafkaPort, topic: string): Promise<Uint8Array[]> {
  const end = await endOf(port, topic);
  const reader = port.reader({ topic, partition: 0 });
  const values: Uint8Array[] = [];
  try {
    await reader.seek('earliest');
    while (reader.position < end) {
      const outcome = await reader.poll(500);
      if (outcome.kind !== 'poll') continue;
      for (let i = 0; i < outcome.poll.count; i++) values.push(Uint8Array.from(outcome.poll.value(i)!));
      outcome.poll.release();
    }
  } finally {
    await reader.close();
  }
  return values;
}

export async function produce(port: KafkaPort, topic: string, value: Uint8Array | null): Promise<void> {
  const producer = await port.producer();
  const [outcome] = await producer.send([{ topic, partition: 0, value }]);
  await producer.close();
  if (outcome!.kind !== 'stored') throw outcome!.cause;
}
