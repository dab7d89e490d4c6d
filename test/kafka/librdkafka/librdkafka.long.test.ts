/** What the contract cannot see: which of the two readers a poll comes from, and that no error gets lost between them. */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { defaultConfig } from '../../../src/config.ts';
import { kafkaLogDir } from '../../../src/kafka/embedded/folder.ts';
import { type EmbeddedBroker, startEmbedded } from '../../../src/kafka/embedded.ts';
import { connectLibrdkafka } from '../../../src/kafka/librdkafka/index.ts';
import { RdPoll } from '../../../src/kafka/librdkafka/poll.ts';
import type { KafkaPort, PollOutcome } from '../../../src/kafka/port.ts';
import { describeOnKafka } from '../../support/real-kafka.ts';

type Seen = 'idle' | 'out-of-range' | 'ended' | `corrupt ${bigint}` | `${'librdkafka' | 'plain'} ${string}`;

function seen(outcome: PollOutcome): Seen {
  if (outcome.kind === 'corrupt') return `corrupt ${outcome.batch.offset}`;
  if (outcome.kind !== 'poll') return outcome.kind;
  const { poll } = outcome;
  const texts = Array.from({ length: poll.count }, (_, i) => Buffer.from(poll.value(i)!).toString()).join(',');
  poll.release();
  return `${poll instanceof RdPoll ? 'librdkafka' : 'plain'} ${texts}`;
}

describeOnKafka(
  'a reader on librdkafka',
  () => {
    let broker: EmbeddedBroker;
    let port: KafkaPort;

    beforeAll(async () => {
      broker = await startEmbedded({ ephemeral: true });
      const { kafka } = defaultConfig({ kafka: { brokers: broker.brokers } });
      port = await connectLibrdkafka(kafka, pino({ level: 'silent' }));
    });
    afterAll(async () => {
      await port?.close();
      await broker?.stop();
    });

    /** Each value in a batch of its own. */
    async function put(topic: string, values: readonly string[]): Promise<void> {
      const producer = await port.producer();
      for (const value of values) await producer.send([{ topic, partition: 0, value: Buffer.from(value) }]);
      await producer.close();
    }
    async function pollsOf(topic: string, count: number, from: bigint | 'earliest' = 'earliest'): Promise<Seen[]> {
      const reader = port.reader({ topic, partition: 0 });
      await reader.seek(from);
      const polls: Seen[] = [];
      while (polls.length < count) {
        const poll = seen(await reader.poll(5_000));
        if (poll !== 'idle') polls.push(poll);
      }
      await reader.close();
      return polls;
    }
    const newTopic = (name: string) => port.admin.createTopics([{ name, partitions: 1, replicas: 1, config: {} }]);

    it('takes records that follow each other from librdkafka, and behind a gap goes on with the plain reader', async () => {
      await newTopic('gap');
      await put('gap', ['a', 'b']);
      const sink = await port.openSink({ fencingKey: 'gap', groupId: 'gap', transactionTimeoutMs: 10_000 });
      sink.stage('gap', 0, Buffer.from('c'));
      expect(await sink.commit([])).toEqual({ kind: 'committed' });
      // A commit is answered some ms before its marker is in the partition.
      await vi.waitFor(async () => expect((await port.admin.offsets('gap'))[0]!.latest).toBe(4n));
      await put('gap', ['d']);
      expect((await pollsOf('gap', 2)).join(' ')).toMatch(/^librdkafka a,b,c plain d$/);
    });

    it('passes over no damaged batch, wherever librdkafka says so', async () => {
      await newTopic('damaged');
      await put('damaged', ['a', 'b', 'damaged', 'd', 'e']);
      const segment = join(kafkaLogDir(broker.dataDir), 'damaged-0', '00000000000000000000.log');
      const file = await open(segment, 'r+');
      await file.write(Buffer.from('DAMAGED'), 0, 7, (await readFile(segment)).indexOf('damaged'));
      await file.close();
      expect(await pollsOf('damaged', 2)).toEqual(['librdkafka a,b', 'corrupt 2']);
      expect(await pollsOf('damaged', 1, 2n)).toEqual(['corrupt 2']);
      expect(await pollsOf('damaged', 1, 3n)).toEqual(['librdkafka d,e']);
    });
  },
  'librdkafka',
);
