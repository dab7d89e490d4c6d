/**
 * What is used of `@confluentinc/kafka-javascript`, an optional peer: declared here, so that nothing of it is needed to build
 * or install Weir, and loaded when the driver is chosen.
 */
import { createRequire } from 'node:module';
import { WeirError } from '../../errors.ts';

const NAME = '@confluentinc/kafka-javascript';
/** What this folder was written against; scripts/librdkafka.mjs builds it. */
const VERSION = '1.10.1';

export type Callback<T = unknown> = (error: RdError | null | undefined, value: T) => void;
export type Settings = Record<string, string | number | boolean | (() => void)>;

/** Codes below 0 are librdkafka's own, others Kafka's. */
export interface RdError extends Error {
  readonly code: number;
  readonly isRetriable?: boolean;
}

export interface RdMessage {
  /** The binding's copy, a buffer of its own. */
  readonly value: Buffer | null;
  readonly key: Buffer | null;
  readonly headers?: ReadonlyArray<Record<string, Buffer>>;
  readonly offset: number;
  readonly timestamp: number;
}

export interface RdReport {
  readonly topic: string;
  readonly partition: number;
  /** Below 0: none. */
  readonly offset: number;
}

interface RdClient {
  connect(options: { timeout: number }, done: Callback): void;
}

export interface RdConsumer extends RdClient {
  assign(partitions: ReadonlyArray<{ topic: string; partition: number; offset: number }>): void;
  /** 0: what is there. */
  setDefaultConsumeTimeout(ms: number): void;
  /** At most `count`. An error behind records is left out, the records behind it come with the next call. */
  consume(count: number, done: Callback<RdMessage[]>): void;
  on(event: 'partition.eof', listener: (end: { offset: number }) => void): void;
  disconnect(done: Callback): void;
}

export interface RdProducer extends RdClient {
  /** On librdkafka's own thread: without it no delivery becomes known. */
  setPollInBackground(on: boolean): void;
  /** For each record, with the setting `dr_cb`. */
  on(event: 'delivery-report', listener: (error: RdError | null, report: RdReport) => void): void;
  initTransactions(timeoutMs: number, done: Callback): void;
  beginTransaction(done: Callback): void;
  /** Copies; throws where the record cannot be queued. */
  produce(
    topic: string,
    partition: number,
    value: Buffer | null,
    key: Buffer | null,
    timestamp: number,
    opaque: undefined,
    headers: ReadonlyArray<Record<string, Buffer>>,
  ): void;
  sendOffsetsToTransaction(
    offsets: ReadonlyArray<{ topic: string; partition: number; offset: number; metadata: string }>,
    groupOf: RdConsumer,
    timeoutMs: number,
    done: Callback,
  ): void;
  commitTransaction(timeoutMs: number, done: Callback): void;
  abortTransaction(timeoutMs: number, done: Callback): void;
  disconnect(flushMs: number, done: Callback): void;
}

export interface Binding {
  readonly librdkafkaVersion: string;
  readonly KafkaConsumer: new (settings: Settings, topicSettings: Settings) => RdConsumer;
  readonly Producer: new (settings: Settings, topicSettings: Settings) => RdProducer;
}

/** As a module at `from` finds it. Throws WeirError DRIVER_MISSING. */
export function loadBinding(from = import.meta.url): Binding {
  try {
    return createRequire(from)(NAME) as Binding;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const absent = code === 'MODULE_NOT_FOUND' && message.includes(`'${NAME}'`);
    throw new WeirError(
      'DRIVER_MISSING',
      `kafka.driver: librdkafka ${absent ? 'is not installed' : `cannot be loaded (${message.split('\n')[0]})`}. ` +
        `Run \`npm install ${NAME}@${VERSION}\` and let its install script build it, or choose kafkajs.`,
      { cause },
    );
  }
}

/** One call of the binding as a promise. */
export function ask<T = unknown>(call: (done: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (error) reject(error);
      else resolve(value);
    });
  });
}
