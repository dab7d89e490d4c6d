/** `control`: when the leader decides what. */
import { z } from 'zod';
import { positive, share } from './fields.ts';

const scaling = z
  .strictObject({
    cpuHigh: share(0.8).describe('mean CPU above it: scale out'),
    cpuHighTarget: share(0.7).describe('mean CPU to reach by it'),
    cpuLow: share(0.3).describe('mean CPU below it: scale in'),
    cpuLowTarget: share(0.5).describe('mean CPU to reach by it'),
    memoryHigh: share(0.85).describe('mean memory above it: scale out with high priority'),
    memoryTarget: share(0.7).describe('mean memory to reach by it'),
    maxRpsPerInstance: z.number().positive().default(1_000).describe('requests/s an instance can serve'),
    cooldownMs: positive(60_000).describe('after a decision a service is left alone for this'),
    stabilisationMs: z.number().int().min(0).default(10_000).describe('a condition must hold this long'),
  })
  .superRefine((value, context) => {
    const fail = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    if (value.cpuLow >= value.cpuHigh) fail('cpuLow', `less than cpuHigh (${value.cpuHigh})`);
    if (value.cpuHighTarget > value.cpuHigh) fail('cpuHighTarget', `at most cpuHigh (${value.cpuHigh})`);
    if (value.cpuLowTarget < value.cpuLow) fail('cpuLowTarget', `at least cpuLow (${value.cpuLow})`);
    if (value.memoryTarget > value.memoryHigh) fail('memoryTarget', `at most memoryHigh (${value.memoryHigh})`);
  })
  .prefault({});

const ring = z
  .strictObject({
    carryMs: z
      .int()
      .min(0)
      .default(30_000)
      .describe('what a moved slot got in this time before a change is copied to its new shard; 0: nothing is'),
    ackTimeoutMs: positive(60_000).describe(
      'a proposed ring epoch that some partition has not adopted after this is said to be stuck, and why',
    ),
  })
  .prefault({});

const rebalance = z
  .strictObject({
    apply: z.boolean().default(true).describe('carry out the slot moves of a decision; false: only decide'),
    hotRatio: z.number().min(1).default(1.5).describe('a shard above this times its fair share of the load is hot'),
    targetRatio: z.number().min(1).default(1.15).describe('moves aim below this times the fair share'),
    maxMoves: positive(4_096).describe('slots that one decision may move'),
    churnSlots: positive(16_384).describe('slots of a signal that may move within churnWindowMs'),
    churnWindowMs: positive(600_000).describe('over which churnSlots are counted'),
    holdMs: z.int().min(0).default(300_000).describe('a slot that moved stays where it is for this'),
    reverseMargin: z
      .number()
      .min(0)
      .default(0.1)
      .describe(
        'moves that leave the hottest shard above what it was before, by this share, are taken back after a load window',
      ),
    minBytesPerSecond: z
      .number()
      .min(0)
      .default(100_000)
      .describe('a signal below this is left alone: what makes a shard hot there is chance'),
    cooldownMs: positive(60_000).describe('after a decision a signal is left alone for this'),
  })
  .superRefine((value, context) => {
    if (value.targetRatio > value.hotRatio)
      context.addIssue({
        code: 'custom',
        path: ['targetRatio'],
        message: `at most hotRatio (${value.hotRatio})`,
      });
  })
  .prefault({});

const capacity = z
  .strictObject({
    apply: z.boolean().default(false).describe('carry out the splits and merges of a decision; false: only decide'),
    bytesPerSecond: z
      .number()
      .positive()
      .default(10_000_000)
      .describe('item bytes a second that a shard of capacity 1 can carry'),
    minShards: z.int().min(1).max(4_096).default(16).describe('a signal is not merged down to fewer shards than this'),
    maxShards: z.int().min(1).max(4_096).default(256).describe('a signal is not split into more shards than this'),
    splitAfterMs: z
      .int()
      .min(0)
      .default(60_000)
      .describe('a split is decided when a shard of the signal has been above its capacity for this'),
    mergeAfterMs: z
      .int()
      .min(0)
      .default(600_000)
      .describe('a merge is decided when two shards would have fitted into half of one for this'),
    holdMs: z
      .int()
      .min(0)
      .default(900_000)
      .describe('a shard that came to be, or gave slots to one that did, is not merged for this'),
    cooldownMs: positive(60_000).describe('after such a decision a signal is neither split nor merged for this'),
  })
  .superRefine((value, context) => {
    if (value.minShards > value.maxShards)
      context.addIssue({
        code: 'custom',
        path: ['minShards'],
        message: `at most maxShards (${value.maxShards})`,
      });
  })
  .prefault({});

export const controlSchema = z
  .strictObject({
    tickMs: positive(1_000).describe('how often the leader decides'),
    windowMs: positive(15_000).describe('load is averaged over this'),
    scaling,
    ring,
    rebalance,
    capacity,
  })
  .prefault({});
