/**
 * What the job costs at the least on Weir's own connections and requests (src/kafka/kafkajs): no group, no pipeline, no framing of
 * records beyond finding their values. `floor.ts` starts it with FloorOptions as JSON, and gets a FloorMessage after each poll.
 */
import { pino } from 'pino';
import { loadConfig } from '../../src/config/load.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { routingOf } from '../../src/coordination/ring-epoch.ts';
import { ClusterView } from '../../src/kafka/kafkajs/cluster.ts';
import { brokerAddresses, linkSettings } from '../../src/kafka/kafkajs/connection.ts';
import { fetchRequest } from '../../src/kafka/kafkajs/fetch-request.ts';
import { type Frame, FramePool } from '../../src/kafka/kafkajs/frame-pool.ts';
import { Links } from '../../src/kafka/kafkajs/links.ts';
import { encodeHeaders } from '../../src/kafka/kafkajs/outgoing-batch.ts';
import { produceOnce } from '../../src/kafka/kafkajs/produce.ts';
import { openSink } from '../../src/kafka/kafkajs/sink.ts';
import { loadKernels } from '../../src/kernels/index.ts';
import { RECORD_STATUS } from '../../src/kernels/split/kernel.ts';
import { keepMemorySmall } from '../../src/roles/memory.ts';
import { type RawBatches, valuesOf, wholeBatches } from './raw-batches.ts';

export interface FloorOptions {
  /**
   * - `split`: the kernel splits what was fetched, and the shards are written without a transaction.
   * - `pass`: what was fetched is cut into equal parts, one for each output, which are written in a transaction with the offset.
   */
  readonly form: 'split' | 'pass';
  readonly brokers: string;
  readonly topic: string;
  readonly partitions: number;
  /** One for each shard, of one partition. */
  readonly outputs: readonly string[];
  /** Of the committed offsets. */
  readonly group: string;
  readonly pollBytes: number;
}

/** Input records whose outputs are stored. */
export interface FloorMessage {
  readonly done: number;
}

const MiB = 1024 * 1024;
const FETCH_WAIT_MS = 500;
const TIMEOUT_MS = 30_000;
/** A poll's outputs may take several times its bytes: each has the resources of its items. */
const SPLIT_LIMITS = { maxRecordBytes: 8 * MiB, maxOutputBytes: 128 * MiB };
const NO_PRODUCER = { producerId: -1n, producerEpoch: -1 };
const NO_SEQUENCE = -1;
const NO_HEADERS = encodeHeaders([]);

keepMemorySmall();
await run(JSON.parse(process.argv[2]!));

async function run(options: FloorOptions): Promise<void> {
  const { kafka } = loadConfig({ env: { WEIR_KAFKA: options.brokers } });
  const settings = await linkSettings(kafka, pino({ level: 'warn' }, process.stderr));
  const links = new Links(settings);
  const cluster = new ClusterView(links, brokerAddresses(kafka.brokers));
  const client = {
    cluster,
    links,
    compression: 'none',
    requestTimeoutMs: TIMEOUT_MS,
    openTimeoutMs: TIMEOUT_MS,
  } as const;
  const frames = new FramePool(24 * MiB);
  const splitter = options.form === 'split' ? await loadSplitter(options.outputs.length) : undefined;
  let done = 0;
  await Promise.all(Array.from({ length: options.partitions }, (_, partition) => copy(partition)));

  /** For ever. */
  async function copy(partition: number): Promise<void> {
    const { topic, outputs, group, pollBytes } = options;
    const leader = (await cluster.leaderOf(topic, partition))!;
    // Of its own: a broker serves one connection's requests one by one.
    const link = await new Links(settings).to(leader);
    const write = splitter ? writeSplit : await passing();
    let [offset, next] = [0, fetch(0)];
    for (;;) {
      const { batches, frame } = await next;
      offset = batches.nextOffset;
      next = fetch(offset);
      if (batches.records > 0) {
        await write(batches);
        done += batches.records;
        process.send!({ done } satisfies FloorMessage);
      }
      frame.release();
    }

    async function fetch(from: number): Promise<{ batches: RawBatches; frame: Frame }> {
      const request = fetchRequest({
        isolation: 'read_committed',
        maxWaitMs: FETCH_WAIT_MS,
        maxBytes: pollBytes,
        partitions: [{ topic, partition, offset: from, maxBytes: pollBytes }],
      });
      let frame: Frame | undefined;
      const answer = await link.request(request, TIMEOUT_MS, (bytes) => {
        frame = frames.take(bytes);
        return frame.bytes;
      });
      const [fetched] = answer.partitions;
      if (fetched!.errorCode !== 0) throw new Error(`fetching ${topic}/${partition}: error ${fetched!.errorCode}`);
      return { batches: wholeBatches(fetched!.records, from), frame: frame! };
    }

    async function writeSplit(batches: RawBatches): Promise<void> {
      const result = await splitter!(valuesOf(batches));
      const timestampMs = Date.now();
      const written = await produceOnce(
        result.outputs.map(({ shard, value }) => ({
          topic: outputs[shard]!,
          partition: 0,
          records: [{ key: null, value, headers: NO_HEADERS }],
          identity: NO_PRODUCER,
          firstSequence: NO_SEQUENCE,
          timestampMs,
        })),
        { ...client, transactionalId: null, timeoutMs: TIMEOUT_MS },
      );
      for (const outcome of written.values()) if (!outcome.stored) throw outcome.error;
      result.release();
    }

    async function passing(): Promise<(batches: RawBatches) => Promise<void>> {
      const transaction = { fencingKey: `${group}.${partition}`, groupId: group, transactionTimeoutMs: TIMEOUT_MS };
      const sink = await openSink(transaction, client);
      return async ({ bytes, nextOffset }) => {
        const part = Math.ceil(bytes.length / outputs.length);
        for (const [i, output] of outputs.entries()) sink.stage(output, 0, bytes.subarray(i * part, (i + 1) * part));
        const outcome = await sink.commit([{ topic, partition, offset: BigInt(nextOffset) }]);
        if (outcome.kind !== 'committed') throw outcome.cause;
      };
    }
  }
}

/** By trace id, as Weir does it by default. */
async function loadSplitter(shards: number) {
  const kernels = await loadKernels();
  const config = loadConfig({ env: { WEIR_ROUTING_TRACES_SHARDS: String(shards) } });
  kernels.split.setRouting('traces', routingOf(firstRing(config, kernels.ring, kernels.hash).signals.traces));
  return async (values: readonly Uint8Array[]) => {
    const result = await kernels.split.split('traces', { values }, SPLIT_LIMITS);
    const refused = result.statuses.findIndex((status) => status !== RECORD_STATUS.ok);
    if (refused >= 0 || result.taken < values.length)
      throw new Error(`of ${values.length} values ${result.taken} were taken, and one refused: ${refused}`);
    return result;
  };
}
