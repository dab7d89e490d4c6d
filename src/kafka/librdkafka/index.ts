/**
 * The Kafka port with librdkafka for what carries the records of the pipeline: fetching and transactions. Group membership,
 * admin requests, look-ups and the plain producer are the kafkajs layer's, which has what the binding does not show: a member's
 * generation, heartbeats by call, an outcome for each record.
 */
import type { Logger } from 'pino';
import type { Config } from '../../config.ts';
import { connectKafka } from '../kafkajs/connect.ts';
import type { ReaderOptions, ReaderSource, RecordDriver } from '../kafkajs/driver.ts';
import type { Fetcher } from '../kafkajs/fetcher.ts';
import type { FetchOptions, KafkaPort, SinkOptions, TopicPartition } from '../port.ts';
import { ask, type Binding, loadBinding, type RdConsumer, type Settings } from './binding.ts';
import { RdReader } from './reader.ts';
import { connectionSettings } from './settings.ts';
import { openRdSink } from './sink.ts';

const OPEN_SINK_TIMEOUT_FACTOR = 2;
/** Of one partition, fetched ahead: a poll of the processor; one more may be on its way. */
const FETCHED_AHEAD_KIBIBYTES = 4_096;
const FETCH_BYTES = 4 * 1024 * 1024;
/** A consumer must have one, and looks up its coordinator; it never joins. */
const NO_GROUP = 'weir-reads-without-a-group';

/** As `connectKafka`; also throws WeirError DRIVER_MISSING. */
export async function connectLibrdkafka(config: Config['kafka'], log: Logger): Promise<KafkaPort> {
  const binding = loadBinding();
  const driver = new RdDriver(config, binding);
  return connectKafka(config, log, driver);
}

class RdDriver implements RecordDriver {
  readonly #config: Config['kafka'];
  readonly #binding: Binding;
  readonly #connection: Settings;
  readonly #groups = new Map<string, Promise<RdConsumer>>();
  readonly #closing = new Set<Promise<unknown>>();

  constructor(config: Config['kafka'], binding: Binding) {
    this.#config = config;
    this.#binding = binding;
    this.#connection = connectionSettings(config);
  }

  readers(plain: Fetcher, { groupId = NO_GROUP, onTrouble }: ReaderOptions): ReaderSource {
    const readers = new Set<RdReader>();
    return {
      reader: (at: TopicPartition, options: FetchOptions) => {
        const reader: RdReader = new RdReader(at, options, {
          plain: plain.reader(at, options),
          open: (onRecords) => this.#openReading({ groupId, isolation: plain.isolation }, onRecords),
          close: (consumer) => this.#close(consumer),
          onTrouble,
          onEnd: () => readers.delete(reader),
        });
        readers.add(reader);
        return reader;
      },
      close: () => {
        for (const reader of [...readers]) reader.end();
        plain.close();
      },
    };
  }

  openSink(options: SinkOptions, confirm: (withinMs: number) => Promise<void>) {
    return openRdSink(options, {
      confirm,
      binding: this.#binding,
      connection: this.#connection,
      compression: this.#config.compression,
      requestTimeoutMs: this.#config.requestTimeoutMs,
      openTimeoutMs: this.#config.requestTimeoutMs * OPEN_SINK_TIMEOUT_FACTOR,
      groupOf: (groupId) => this.#groupOf(groupId),
    });
  }

  async close(): Promise<void> {
    for (const consumer of this.#groups.values()) this.#close(consumer);
    await Promise.all(this.#closing);
  }

  async #openReading(
    { groupId, isolation }: { groupId: string; isolation: string },
    onRecords: () => void,
  ): Promise<RdConsumer> {
    const consumer = await this.#openConsumer(
      {
        'group.id': groupId,
        'isolation.level': isolation,
        'enable.partition.eof': true,
        'check.crcs': true,
        'fetch.wait.max.ms': 500,
        // By default a full queue keeps it from fetching for a whole second.
        'fetch.queue.backoff.ms': 5,
        'fetch.message.max.bytes': FETCH_BYTES,
        'queued.max.messages.kbytes': FETCHED_AHEAD_KIBIBYTES,
        queue_non_empty_cb: onRecords,
      },
      { 'auto.offset.reset': 'error' },
    );
    consumer.setDefaultConsumeTimeout(0);
    return consumer;
  }

  /** Its only use is to name the group; it never joins. */
  async #groupOf(groupId: string): Promise<RdConsumer> {
    const opening = this.#groups.get(groupId) ?? this.#openConsumer({ 'group.id': groupId }, {});
    this.#groups.set(groupId, opening);
    try {
      return await opening;
    } catch (error) {
      this.#groups.delete(groupId);
      throw error;
    }
  }

  async #openConsumer(settings: Settings, topicSettings: Settings): Promise<RdConsumer> {
    const consumer = new this.#binding.KafkaConsumer(
      { ...this.#connection, 'enable.auto.commit': false, ...settings },
      topicSettings,
    );
    await ask((done) => consumer.connect({ timeout: this.#config.connectTimeoutMs }, done));
    return consumer;
  }

  #close(opening: Promise<RdConsumer>): void {
    const closing = opening
      .then(
        (consumer) => ask((done) => consumer.disconnect(done)),
        () => 'never opened',
      )
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}
