import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort, Poll } from '../../src/kafka/port.ts';
import { type PartitionTail, tailPartition } from '../../src/runtime/partition-tail.ts';
import { produce } from '../coordination/cluster.ts';
import { eventually } from '../support/eventually.ts';

const AT = { topic: 't', partition: 0 };

describe('the tail of a partition', () => {
  let kafka: ReturnType<typeof createMemoryKafka>;
  let port: KafkaPort;
  let tail: PartitionTail | undefined;
  let seen: string[];
  const onPoll = (poll: Poll) => {
    for (let i = 0; i < poll.count; i++) seen.push(Buffer.from(poll.value(i)!).toString());
  };
  const write = async (...values: string[]) => {
    for (const value of values) await produce(port, AT.topic, Buffer.from(value));
  };
  beforeEach(async () => {
    kafka = createMemoryKafka();
    port = kafka.connect();
    tail = undefined;
    seen = [];
    await port.admin.createTopics([{ name: AT.topic, partitions: 1, config: {} }]);
  });
  afterEach(async () => {
    await tail?.close();
    await port.close();
  });

  it('has handed over the last records when it opens, and goes on with those that come', async () => {
    await write('a', 'b', 'c');
    tail = await tailPartition(port, AT, 2, onPoll);
    expect(seen).toEqual(['b', 'c']);
    expect(tail.position).toBe(3n);
    await write('d');
    await eventually(() => expect(seen).toEqual(['b', 'c', 'd']));
    expect(tail.position).toBe(4n);
  });

  it('begins with all where there is less', async () => {
    tail = await tailPartition(port, AT, 2, onPoll);
    expect(tail.position).toBe(0n);
    await tail.close();
    await write('a');
    tail = await tailPartition(port, AT, 2, onPoll);
    expect(seen).toEqual(['a']);
  });

  it('skips what retention takes away under it', async () => {
    await write('a', 'b', 'c');
    const offsets = port.admin.offsets.bind(port.admin);
    vi.spyOn(port.admin, 'offsets').mockImplementationOnce(async (topic) => {
      const found = await offsets(topic);
      // Between the look at the offsets and the first fetch.
      kafka.truncate(topic, AT.partition, 2n);
      return found;
    });
    tail = await tailPartition(port, AT, 3, onPoll);
    expect(seen).toEqual(['c']);
  });

  it('ends with what `onPoll` throws, also while it opens', async () => {
    await write('a');
    const fail = () => {
      throw new Error('cannot take it');
    };
    await expect(tailPartition(port, AT, 1, fail)).rejects.toThrow('cannot take it');
    tail = await tailPartition(port, AT, 0, fail);
    const ended = expect(tail.done).rejects.toThrow('cannot take it');
    await write('b');
    await ended;
  });
});
