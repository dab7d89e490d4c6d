/** For who reads a topic for what it says now: what can never be read is passed over. */
import { WeirError } from '../errors.ts';
import type { CorruptBatch, PartitionReader } from './port.ts';

/** Throws BATCH_CORRUPT where it cannot be told what comes behind it. */
export async function passCorrupt(
  reader: PartitionReader,
  { offset, nextOffset, reason }: CorruptBatch,
): Promise<void> {
  const { topic, partition } = reader;
  if (nextOffset === null)
    throw new WeirError('BATCH_CORRUPT', `reading ${topic}/${partition} at offset ${offset}: ${reason}`);
  await reader.seek(nextOffset);
}
