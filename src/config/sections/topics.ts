/** `topics`: those that Weir makes. */
import { z } from 'zod';
import { MiB } from './fields.ts';

export const topicsSchema = z
  .strictObject({
    create: z.boolean().default(true).describe('create missing topics at the start; false: `weir topics --print`'),
    ingestPartitions: z.number().int().min(1).max(10_000).default(12).describe('partitions of each new ingest topic'),
    retentionHours: z.number().positive().default(24).describe('of new ingest and shard topics'),
    maxMessageBytes: z
      .number()
      .int()
      .min(64 * 1024)
      .max(1024 * MiB)
      .default(8 * MiB)
      .describe('`max.message.bytes` of new ingest and shard topics'),
    replicas: z.number().int().positive().max(100).optional().describe('of new topics; without it min(3, brokers)'),
  })
  .prefault({});
