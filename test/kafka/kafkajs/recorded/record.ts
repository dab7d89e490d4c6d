/**
 * Records what Apache Kafka answers to the requests of Weir's own definitions, as answers.json beside this file:
 *
 *   node test/kafka/kafkajs/recorded/record.ts
 *
 * starts an embedded broker of its own (Java has to be there), plays one scene on it, in which there is an aborted
 * transaction, a transaction that is still open and a member whose generation is over, and writes the payload of each
 * answer (without length and correlation id) in base64, with the version of the broker. To be run again when a definition
 * gets another version; what the answers must say stands in ../recorded.test.ts.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { defaultConfig } from '../../../../src/config.ts';
import { KAFKA_VERSION, startEmbedded } from '../../../../src/kafka/embedded.ts';
import { addPartitionsRequest } from '../../../../src/kafka/kafkajs/add-partitions-request.ts';
import { askCoordinator, ClusterView } from '../../../../src/kafka/kafkajs/cluster.ts';
import { brokerAddresses, linkSettings } from '../../../../src/kafka/kafkajs/connection.ts';
import { fetchRequest } from '../../../../src/kafka/kafkajs/fetch-request.ts';
import { connectKafka } from '../../../../src/kafka/kafkajs/index.ts';
import { type Protocol, requestOf } from '../../../../src/kafka/kafkajs/internals.ts';
import { Links } from '../../../../src/kafka/kafkajs/links.ts';
import { offsetFetchRequest } from '../../../../src/kafka/kafkajs/offset-fetch-request.ts';
import { encodeHeaders } from '../../../../src/kafka/kafkajs/outgoing-batch.ts';
import { produceRequest } from '../../../../src/kafka/kafkajs/produce-request.ts';
import { txnOffsetCommitRequest } from '../../../../src/kafka/kafkajs/txn-offset-commit-request.ts';
import type { AssignedPartition } from '../../../../src/kafka/port.ts';

const [topic, group] = ['scene', 'scene-group'];
const bytes = (text: string) => Buffer.from(text);
const answers: Record<string, string> = {};

const broker = await startEmbedded({ ephemeral: true });
const config = defaultConfig({ kafka: { brokers: broker.brokers } }).kafka;
const log = pino({ level: 'silent' });
const port = await connectKafka(config, log);
const links = new Links(await linkSettings(config, log));
const cluster = new ClusterView(links, brokerAddresses(config.brokers));

function recorded<D>(name: string, protocol: Protocol<D>): Protocol<D> {
  const decode = (payload: Buffer) => {
    answers[name] = payload.toString('base64');
    return protocol.decode(payload);
  };
  return { ...protocol, decode };
}

try {
  await port.admin.createTopics([{ name: topic, partitions: 2, replicas: 1, config: {} }]);
  // Offsets 0 and 1, a commit marker; 3 aborted, an abort marker; 5 of a transaction that stays open.
  const sink = (fencingKey: string) => port.openSink({ fencingKey, groupId: group, transactionTimeoutMs: 60_000 });
  const committing = await sink('commits');
  committing.stage(topic, 0, bytes('first'), [['tenant', bytes('acme')]], bytes('key'));
  committing.stage(topic, 0, null);
  await committing.commit([{ topic, partition: 0, offset: 2n, metadata: 'ring=7' }]);

  const leader = await cluster.leaderOf(topic, 0);
  const link = await links.to(leader!);
  const begin = async (transactionalId: string) => {
    const opened = await askCoordinator(
      { cluster, links },
      'transaction',
      transactionalId,
      requestOf('InitProducerId', { transactionalId, transactionTimeout: 60_000 }),
    );
    const identity = { producerId: BigInt(opened.producerId), producerEpoch: opened.producerEpoch };
    const named = { transactionalId, producerId: opened.producerId, producerEpoch: opened.producerEpoch };
    const ask = (name: 'AddOffsetsToTxn' | 'EndTxn', options: object) =>
      askCoordinator({ cluster, links }, 'transaction', transactionalId, requestOf(name, { ...named, ...options }));
    const adding = addPartitionsRequest({ transactionalId, identity, partitions: [{ topic, partition: 0 }] });
    await askCoordinator({ cluster, links }, 'transaction', transactionalId, adding);
    const produce = (name: string, identityOf = identity) =>
      link.request(
        recorded(
          name,
          produceRequest({
            transactionalId,
            timeoutMs: 10_000,
            compression: 'none',
            batches: [
              {
                topic,
                partition: 0,
                records: [{ value: bytes(transactionalId), key: null, headers: encodeHeaders([]) }],
                identity: identityOf,
                firstSequence: 0,
                timestampMs: 1_700_000_000_000,
              },
            ],
          }),
        ),
      );
    return { identity, ask, produce };
  };
  const aborting = await begin('aborts');
  await aborting.produce('Produce: stored');
  await aborting.ask('EndTxn', { transactionResult: false });
  await aborting.produce('Produce: refused', {
    ...aborting.identity,
    producerEpoch: aborting.identity.producerEpoch + 7,
  });

  const tenures: AssignedPartition[] = [];
  const member = port.joinGroup(
    { groupId: group, topics: [topic], sessionTimeoutMs: 10_000, instanceId: 'instance-7' },
    {
      run: async (partition) => {
        tenures.push(partition);
        await new Promise<void>((resolve) => partition.signal.addEventListener('abort', () => resolve()));
      },
    },
  );
  while (tenures.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  const { generation, memberId, instanceId } = tenures[0]!;

  const open = await begin('stays-open');
  await open.produce('Produce: stored in a transaction that stays open');
  await open.ask('AddOffsetsToTxn', { groupId: group });
  const commit = (name: string, tenure: { generation: number; memberId: string; instanceId: string | null }) =>
    askCoordinator(
      { cluster, links },
      'group',
      group,
      recorded(
        name,
        txnOffsetCommitRequest({
          transactionalId: 'stays-open',
          groupId: group,
          ...open.identity,
          tenure,
          offsets: [0, 1].map((partition) => ({ topic, partition, offset: 5n, metadata: 'ring=8' })),
        }),
      ),
    );
  await commit('TxnOffsetCommit: an old generation', { generation: generation - 1, memberId, instanceId });
  await commit('TxnOffsetCommit: no member', { generation, memberId: 'nobody', instanceId: null });
  await commit('TxnOffsetCommit: another in its place', { generation, memberId: 'nobody', instanceId });
  const offsets = (name: string, requireStable: boolean) =>
    askCoordinator(
      { cluster, links },
      'group',
      group,
      recorded(name, offsetFetchRequest({ groupId: group, topic, partitions: [0, 1], requireStable })),
    );
  await offsets('OffsetFetch: stable', true);
  await commit('TxnOffsetCommit: done', { generation, memberId, instanceId });
  await offsets('OffsetFetch: pending, stable ones asked for', true);
  await offsets('OffsetFetch: pending', false);
  const fetch = (name: string, isolation: 'read_committed' | 'read_uncommitted', offset: number) =>
    link.request(
      recorded(
        name,
        fetchRequest({
          isolation,
          maxWaitMs: 100,
          maxBytes: 1_000_000,
          partitions: [{ topic, partition: 0, offset, maxBytes: 1_000_000 }],
        }),
      ),
    );
  await fetch('Fetch: read_committed', 'read_committed', 0);
  await fetch('Fetch: read_uncommitted', 'read_uncommitted', 0);
  await fetch('Fetch: out of range', 'read_committed', 99);
  await open.ask('EndTxn', { transactionResult: false });
  await member.close();
} finally {
  await links.close();
  await port.close();
  await broker.stop();
}
const file = join(import.meta.dirname, 'answers.json');
await writeFile(file, `${JSON.stringify({ kafka: KAFKA_VERSION, answers }, null, 2)}\n`);
process.stdout.write(`${Object.keys(answers).length} answers in ${file}\n`);
