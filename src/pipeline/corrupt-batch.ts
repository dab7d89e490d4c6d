/**
 * What becomes of a record batch that cannot be read. Its bytes go to the dead letter topic with the reason, and the partition
 * goes on behind it: the batch will never be readable, and waiting for an operator could let the retention take what follows.
 * Where the end of the batch is unknown, or a newer version could read it, the partition stands still.
 */
import type { Logger } from 'pino';
import { offsetMetadata } from '../coordination/ring-epoch.ts';
import type { CommitOutcome, CorruptBatch, Headers, TopicPartition, TransactionalSink } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import { header, sourcesOf } from './record-headers.ts';
import { RECORD_OVERHEAD_BYTES, type TransactSettings } from './transact.ts';

/** Whether the partition goes on behind the batch; else it stands still, and the log says what an operator can do. */
export function mayPass(
  { topic, partition }: TopicPartition,
  batch: CorruptBatch,
  onCorruptBatch: 'dead-letter' | 'stop',
  names: Names,
  log: Logger,
): boolean {
  const { offset, nextOffset, cause, reason } = batch;
  const what = `the record batch at ${topic}/${partition} offset ${offset} cannot be read: ${reason}`;
  const fields = { code: 'BATCH_CORRUPT', cause, offset, nextOffset, bytes: batch.bytes.length };
  if (cause !== 'unsupported' && nextOffset !== null && onCorruptBatch === 'dead-letter') {
    log.error(fields, `${what}. Its bytes go to ${names.deadLetter}; going on at ${nextOffset}`);
    return true;
  }
  const behind = nextOffset ?? 'OFFSET';
  const remedy =
    cause === 'unsupported'
      ? 'run a version that knows it'
      : nextOffset === null
        ? `where it ends cannot be told, so find the next batch's offset with kafka-dump-log.sh`
        : 'restart with poll.onCorruptBatch: dead-letter';
  log.error(
    fields,
    `${what}. The partition stands still: ${remedy}; or, with all processors stopped, pass over it: kafka-consumer-groups.sh ` +
      `--bootstrap-server HOST:PORT --group ${names.processGroup} --topic ${topic}:${partition} --reset-offsets --to-offset ${behind} --execute`,
  );
  return false;
}

/** The batch, cut to what the dead letter topic takes, and the offset behind it in one transaction. */
export function transactCorruptBatch(
  of: TopicPartition,
  batch: CorruptBatch & { nextOffset: bigint },
  sink: TransactionalSink,
  ringEpoch: number,
  { names, maxDeadLetterMessageBytes }: TransactSettings,
): Promise<CommitOutcome> {
  const { topic, partition } = of;
  const { bytes, offset, nextOffset, reason } = batch;
  const room = maxDeadLetterMessageBytes - RECORD_OVERHEAD_BYTES;
  const headers: Headers = [
    header('weir-reason', 'corrupt_batch'),
    header('weir-source', sourcesOf(of, offset, nextOffset - 1n)),
    header('weir-error', reason),
  ];
  const cut: Headers = bytes.length > room ? [header('weir-cut-from', bytes.length)] : [];
  sink.stage(names.deadLetter, 0, bytes.subarray(0, room), [...headers, ...cut]);
  return sink.commit([{ topic, partition, offset: nextOffset, metadata: offsetMetadata(ringEpoch) }]);
}
