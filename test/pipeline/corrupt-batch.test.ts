/** Batches that rotted on the broker's disk: what the pipeline makes of them, on real Kafka whose segment files are damaged. */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type ConfigInput, defaultConfig } from '../../src/config.ts';
import { kafkaLogDir } from '../../src/kafka/embedded/folder.ts';
import { type EmbeddedBroker, startEmbedded } from '../../src/kafka/embedded.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import { loadCrc32c } from '../../src/kernels/index.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { namesFor } from '../../src/names.ts';
import { mayPass } from '../../src/pipeline/corrupt-batch.ts';
import { eventually, PATIENCE_MS } from '../support/eventually.ts';
import { asMultiset, decodeItems } from '../support/otlp-schema.ts';
import { openPipelineRig, type PipelineRig } from '../support/pipeline-rig.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import { valuesOf } from '../support/shard-census.ts';

const HEADER_BYTES = 61;
const crc32c = await loadCrc32c();

function flipABit(batch: Buffer): void {
  batch[HEADER_BYTES + 40]! ^= 0x10;
}

describeOnKafka('a batch that rotted on disk', () => {
  let broker: EmbeddedBroker;
  let rig: PipelineRig;

  beforeAll(async () => {
    broker = await startEmbedded({ ephemeral: true, settings: { 'log.retention.bytes': '-1' } });
  });
  afterEach(() => rig?.close());
  afterAll(() => broker?.stop());

  async function openRig(over: ConfigInput = {}) {
    const { kafka } = defaultConfig({ kafka: { brokers: broker.brokers } });
    rig = await openPipelineRig(await connectKafka(kafka, pino({ level: 'silent' })), over);
    return rig;
  }

  /** Four requests: three batches on partition 0, one on partition 1. */
  async function sendFour() {
    const requests = createCorpus({ seed: 11, signal: 'traces', itemsPerRequest: 20 }).requests(4) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    for (const request of requests.slice(0, 3)) await rig.send('traces', [request], { partition: 0 });
    await rig.send('traces', [requests[3]], { partition: 1 });
    return requests;
  }

  /** Lets `damage` change the batch that begins with this offset where it lies on the broker's disk; the batch as it is then. */
  async function damageBatch(offset: number, damage: (batch: Buffer) => void): Promise<Buffer> {
    const folder = `${rig.names.ingest('traces')}-0`;
    const segment = join(kafkaLogDir(broker.dataDir), folder, '00000000000000000000.log');
    const bytes = await readFile(segment);
    let at = 0;
    while (bytes.readBigInt64BE(at) !== BigInt(offset)) at += 12 + bytes.readInt32BE(at + 8);
    const batch = bytes.subarray(at, at + 12 + bytes.readInt32BE(at + 8));
    damage(batch);
    const file = await open(segment, 'r+');
    await file.write(batch, 0, batch.length, at);
    await file.close();
    return batch;
  }

  const itemsOut = async () => {
    const items = [];
    for (const { topic } of rig.ring.signals.traces.shards)
      for await (const value of valuesOf(rig.port, topic)) if (value) items.push(...decodeItems('traces', value));
    return asMultiset(items);
  };
  const itemsOf = (...requests: Uint8Array[]) => asMultiset(requests.flatMap((value) => decodeItems('traces', value)));
  const stopped = async () => (await rig.metrics.partitionsStopped.get()).values;
  const committed = async () =>
    (await rig.port.admin.committedOffsets(rig.names.processGroup, rig.names.ingest('traces'))).map(
      ({ offset }) => offset,
    );

  async function deadLetters() {
    const reader = rig.port.reader({ topic: rig.names.deadLetter, partition: 0 });
    await reader.seek('earliest');
    const outcome = await reader.poll(PATIENCE_MS);
    if (outcome.kind !== 'poll') throw new Error(outcome.kind);
    const { poll } = outcome;
    const letters = Array.from({ length: poll.count }, (_, i) => ({
      headers: Object.fromEntries(poll.headers(i).map(([name, value]) => [name, Buffer.from(value).toString()])),
      value: Buffer.from(poll.value(i)!),
    }));
    await reader.close();
    return letters;
  }

  it.each([
    ['whose checksum is wrong', 'checksum', flipABit],
    [
      'whose compressed records are none',
      'compressed',
      (batch: Buffer) => {
        batch.writeInt16BE(4, 21);
        batch.writeUInt32BE(crc32c.update(0, batch.subarray(21)), 17);
      },
    ],
  ])('%s is put away as it is, and nothing else stops', async (_, reason, damage) => {
    await openRig();
    const [before, , after, other] = await sendFour();
    const batch = await damageBatch(1, damage);
    await rig.startProcessor();
    await rig.drained();
    expect(await itemsOut()).toEqual(itemsOf(before, after, other));
    expect(await deadLetters()).toEqual([
      {
        headers: {
          'weir-reason': 'corrupt_batch',
          'weir-source': `${rig.names.ingest('traces')}/0/1-1`,
          'weir-error': expect.stringContaining(reason),
        },
        value: batch,
      },
    ]);
    expect((await rig.metrics.deadLetter.get()).values).toEqual([{ labels: { reason: 'corrupt_batch' }, value: 1 }]);
    expect(await stopped()).toEqual([]);
  });

  it('stops its partition and no other where the operator wants that', async () => {
    await openRig({ poll: { onCorruptBatch: 'stop' } });
    const [before, , , other] = await sendFour();
    await damageBatch(1, flipABit);
    await rig.startProcessor();
    await eventually(async () => expect(await stopped()).toHaveLength(1));
    expect(await stopped()).toEqual([
      { labels: { topic: rig.names.ingest('traces'), partition: '0', reason: 'corrupt-batch' }, value: 1 },
    ]);
    await eventually(async () => expect((await committed())[1]).not.toBeNull());
    await eventually(async () => expect((await committed())[0]).toBe(1n));
    expect(await itemsOut()).toEqual(itemsOf(before, other));
  });

  it('stops its partition where nobody can tell what comes behind it', async () => {
    await openRig();
    const [before, second, , other] = await sendFour();
    // The last one, and what its header says does not hold together any more.
    await damageBatch(2, (batch) => {
      batch.writeInt32BE(7, 57);
    });
    await rig.startProcessor();
    await eventually(async () => expect(await stopped()).toHaveLength(1));
    await eventually(async () => expect((await committed())[0]).toBe(2n));
    await eventually(async () => expect((await committed())[1]).not.toBeNull());
    expect(await itemsOut()).toEqual(itemsOf(before, second, other));
  });
});

it.each([
  ['damaged', 7n, 'restart with poll.onCorruptBatch: dead-letter', '7'],
  ['damaged', null, "find the next batch's offset with kafka-dump-log.sh", 'OFFSET'],
  ['unsupported', 7n, 'run a version that knows it', '7'],
] as const)('a partition that stands still (%s, next %s) says how to go on', (cause, nextOffset, remedy, behind) => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) });
  const batch = { cause, nextOffset, reason: 'it rotted', offset: 6n, bytes: new Uint8Array(9) };
  const names = namesFor('staging.');
  expect(mayPass({ topic: 'staging.otlp_spans', partition: 3 }, batch, 'stop', names, log)).toBe(false);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(remedy);
  expect(lines[0]).toContain(
    'kafka-consumer-groups.sh --bootstrap-server HOST:PORT --group staging.weir-process ' +
      `--topic staging.otlp_spans:3 --reset-offsets --to-offset ${behind} --execute`,
  );
});
