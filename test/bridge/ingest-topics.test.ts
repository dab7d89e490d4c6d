/** `max.message.bytes` of an ingest topic that is altered while the bridge runs, on real Kafka. */
import kafkajs from 'kafkajs';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { followIngestTopics } from '../../src/bridge/ingest-topics.ts';
import { defaultConfig } from '../../src/config.ts';
import { connectKafka } from '../../src/kafka/kafkajs/index.ts';
import { namesFor } from '../../src/names.ts';
import { eventually } from '../support/eventually.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { exportByGrpc } from './grpc-client.ts';
import { decodePartialSuccess, startRig } from './rig.ts';
import { namesIn, requestOf } from './sample-requests.ts';

const PROTOBUF = { 'content-type': 'application/x-protobuf' };

/** A request without items: an unknown field of so many bytes. */
function emptyRequest(bytes: number): Uint8Array {
  const length = [bytes & 0x7f, (bytes >> 7) & 0x7f, bytes >> 14].map((part, i) => (i < 2 ? part | 0x80 : part));
  return Buffer.concat([Buffer.from([(15 << 3) | 2, ...length]), Buffer.alloc(bytes)]);
}

describeOnKafka('max.message.bytes that is altered while the bridge runs', ({ brokers }) => {
  const connect = () => connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' }));

  async function alter(topic: string, maxMessageBytes: number): Promise<void> {
    const admin = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
    const type = kafkajs.ConfigResourceTypes.TOPIC;
    const configEntries = [{ name: 'max.message.bytes', value: String(maxMessageBytes) }];
    await admin.alterConfigs({ validateOnly: false, resources: [{ type, name: topic, configEntries }] });
    await admin.disconnect();
  }

  /** Resolves when it is in force: a broker answers before its partitions have it. */
  async function lower(topic: string, maxMessageBytes: number): Promise<void> {
    await alter(topic, maxMessageBytes);
    const kafka = await connect();
    const producer = await kafka.producer();
    await eventually(async () => {
      const [outcome] = await producer.send([{ topic, partition: 0, value: emptyRequest(maxMessageBytes) }]);
      expect(outcome!.kind).toBe('refused');
    });
    await producer.close();
    await kafka.close();
  }

  it('lowered: what Kafka finds too large is cut again, and all of it stored once', async () => {
    const config = { prefix: `altered-${process.pid}-`, topics: { maxMessageBytes: 1_000_000 } };
    const rig = await startRig({ kafka: await connect(), config });
    const topic = namesFor(config.prefix).ingest('logs');
    await lower(topic, 300_000);
    // Three records for the limit that the bridge has read, of which Kafka takes the last.
    const sizes = [450_000, 450_000, 250_000, 250_000, 250_000, 250_000, 10];
    const request = requestOf('logs', sizes);
    const answer = await rig.post('/v1/logs', request, PROTOBUF);
    expect(answer.status).toBe(200);
    const errorMessage = expect.stringMatching(/^2 of 7 .*max\.message\.bytes of \S+ is 300000.*: 0, 1$/);
    expect(decodePartialSuccess(answer.body)).toEqual({ rejected: 2, errorMessage });
    const fitting = ['item 2', 'item 3', 'item 4', 'item 5', 'item 6'];
    const names = async () => (await rig.stored('logs')).flatMap(({ value }) => namesIn('logs', value)).sort();
    expect(await names()).toEqual(fitting);

    // From now on the limit is known.
    expect(await exportByGrpc(rig, 'logs', requestOf('logs', [250_000, 250_000]))).toMatchObject({ code: 0 });
    expect(await names()).toEqual(['item 0', 'item 1', ...fitting]);
    expect(rig.logLines.filter(({ msg }) => msg === 'max.message.bytes was altered')).toMatchObject([
      { topic, from: 1_000_000, to: 300_000 },
    ]);
    await rig.close();
  });

  it('lowered between two produce calls of one request: names no item that is stored', async () => {
    const config = { prefix: `between-${process.pid}-`, topics: { maxMessageBytes: 1_000_000 } };
    const topic = namesFor(config.prefix).ingest('logs');
    let calls = 0;
    const rig = await startRig({
      kafka: await connect(),
      config,
      wrap: (producer) => ({
        async send(records) {
          const outcomes = await producer.send(records);
          if (++calls === 1) await lower(topic, 300_000);
          return outcomes;
        },
        close: () => producer.close(),
      }),
    });
    const request = requestOf('logs', [450_000, 450_000, 450_000, 250_000, 10]);
    const answer = await rig.post('/v1/logs', request, PROTOBUF);
    const errorMessage = expect.stringMatching(/^1 of 5 .*max\.message\.bytes of \S+ is 300000.*: 2$/);
    expect(decodePartialSuccess(answer.body)).toEqual({ rejected: 1, errorMessage });
    const names = (await rig.stored('logs')).flatMap(({ value }) => namesIn('logs', value));
    expect(names).toEqual(['item 0', 'item 1', 'item 3', 'item 4']);
    await rig.close();
  });

  it('lowered or raised: is seen without a request that tells', async () => {
    const kafka = await connect();
    const topic = `altered-${process.pid}.traces`;
    await kafka.admin.createTopics([{ name: topic, partitions: 1, config: { 'max.message.bytes': '500000' } }]);
    const found = { topic, partitions: 1, maxMessageBytes: 500_000 };
    const { admin } = kafka;
    const log = pino({ level: 'silent' });
    const topics = followIngestTopics({ traces: found, metrics: found, logs: found }, { admin, log, intervalMs: 20 });
    for (const bytes of [400_000, 900_000]) {
      await alter(topic, bytes);
      await eventually(() => expect(topics.traces.maxMessageBytes).toBe(bytes));
    }
    topics.stop();
    await admin.deleteTopics([topic]);
    await kafka.close();
  });
});
