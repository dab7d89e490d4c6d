/** What carries the records, where it is not this folder: another client may fetch and write, and the rest stays here. */
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
  /** Of a member: which it may use. */
  readonly groupId?: string;
  readonly onTrouble: (cause: Error) => void;
}

export interface RecordDriver {
  /** Readers of a source of their own, for a member or for a port; `plain` closes with it. */
  readers(plain: Fetcher, options: ReaderOptions): ReaderSource;
  /** `confirm`: throws when the sink's tenure is over, or no answer comes within the time. */
  openSink(options: SinkOptions, confirm: (withinMs: number) => Promise<void>): Promise<TransactionalSink>;
  /** After readers and sinks are closed. */
  close(): Promise<void>;
}
