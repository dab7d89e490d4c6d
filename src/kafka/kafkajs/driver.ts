/** The part of the adapter that another Kafka client may take over: fetching records, and writing them in transactions. */
import type { FetchOptions, PartitionReader, SinkOptions, TopicPartition, TransactionalSink } from '../port.ts';
import type { Fetcher } from './fetcher.ts';

export interface EndableReader extends PartitionReader {
  /** No more polls; a waiting one is told so. */
  end(): void;
}

export interface ReaderSource {
  reader(at: TopicPartition, options: FetchOptions): EndableReader;
  /** Ends its readers. */
  close(): void;
}

export interface ReaderOptions {
  /** Of a member's readers; a client that wants a group name may use it. */
  readonly groupId?: string;
  readonly onTrouble: (cause: Error) => void;
}

export interface RecordDriver {
  /** A new source of readers. `plain` is this folder's own, to fall back on; the new source closes it. */
  readers(plain: Fetcher, options: ReaderOptions): ReaderSource;
  /** `confirm`: throws when the sink's tenure is over, or no answer comes within the time. */
  openSink(options: SinkOptions, confirm: (withinMs: number) => Promise<void>): Promise<TransactionalSink>;
  /** After readers and sinks are closed. */
  close(): Promise<void>;
}
