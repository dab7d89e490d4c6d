/** `poll`, `process` and `load`: how a processor works, and how often it says how much that is. */
import { z } from 'zod';
import { positive } from './fields.ts';

export const pollSchema = z
  .strictObject({
    maxRecords: positive(4_096).describe('most records of a poll'),
    maxBytes: positive(8_000_000).describe(
      'most value bytes of a poll; it has 4 MB, or 32 KB a shard where that is more',
    ),
    maxOutputRatio: z
      .number()
      .min(1)
      .default(4)
      .describe('a poll ends before its output would outgrow its input by this'),
    onLostOffset: z
      .enum(['stop', 'earliest'])
      .default('stop')
      .describe('when retention has overtaken a committed offset: stop that partition, or go on with what is there'),
    onCorruptBatch: z
      .enum(['dead-letter', 'stop'])
      .default('dead-letter')
      .describe(
        'what to do with a record batch that no version can read: put it away as it is, or stop that partition',
      ),
  })
  .prefault({});

export const processSchema = z
  .strictObject({
    workers: z
      .number()
      .int()
      .min(1)
      .max(256)
      .optional()
      .describe('worker processes of `weir process`; without it one a core'),
  })
  .prefault({});

export const loadSchema = z
  .strictObject({
    reportIntervalMs: positive(1_000).describe('how often a member reports its load, which is its heartbeat, too'),
    slotIntervalMs: positive(10_000).describe('how often a report holds the load of each slot'),
  })
  .prefault({});
