/**
 * Every setting, its default and what is allowed. `config-load.ts` fills it from flags, environment, file and defaults,
 * in that order of precedence. Units stand in the names.
 */
import { z } from 'zod';

const port = z.number().int().min(0).max(65_535).describe('0 picks a free port');
const positive = z.number().int().positive();
const share = z.number().min(0).max(1);
const MiB = 1024 * 1024;

/** 'trace_id' | 'service.name' | 'resource' | 'metric.name' | 'resource:<attribute name>'. */
const key = (allowed: string[]) =>
  z
    .string()
    .refine(
      (value) => allowed.includes(value) || /^resource:.+$/.test(value),
      `one of ${allowed.join(', ')}, resource:<attribute>`,
    );

const signalRouting = (keys: string[], fallback: string) =>
  z
    .strictObject({
      key: key(keys).default(fallback).describe('what decides where an item goes'),
      shards: z.number().int().min(1).max(4_096).default(16),
    })
    .prefault({});

const sasl = z.discriminatedUnion('mechanism', [
  z.strictObject({ mechanism: z.literal('plain'), username: z.string(), password: z.string() }),
  z.strictObject({ mechanism: z.literal('scram-sha-256'), username: z.string(), password: z.string() }),
  z.strictObject({ mechanism: z.literal('scram-sha-512'), username: z.string(), password: z.string() }),
  z.strictObject({
    mechanism: z.literal('oauthbearer'),
    /** Either a file that holds the token (read again at each use), or the client credentials grant. */
    tokenFile: z.string().optional(),
    tokenEndpoint: z.url().optional(),
    clientId: z.string().optional(),
    clientSecret: z.string().optional(),
    scope: z.string().optional(),
  }),
]);

export const configSchema = z.strictObject({
  prefix: z
    .string()
    .regex(/^[a-zA-Z0-9._-]{0,100}$/, 'letters, digits, ".", "_" and "-", at most 100')
    .default('')
    .describe('begins every topic, group and transactional id'),
  host: z.string().default('127.0.0.1').describe('address that bridge and API listen on'),
  grpcPort: port.default(4317),
  httpPort: port.default(4318),
  apiPort: port.default(8080),
  demo: z.boolean().default(true).describe('`weir up` only: send the traffic of a small simulated shop'),
  kafka: z
    .strictObject({
      brokers: z
        .string()
        .default('auto')
        .describe('HOST:PORT[,HOST:PORT…], "embedded", "memory", or "auto": embedded where Java is, else memory'),
      clientId: z.string().default('weir'),
      tls: z
        .strictObject({
          enabled: z.boolean().default(false),
          caFile: z.string().optional(),
          certFile: z.string().optional(),
          keyFile: z.string().optional(),
          serverName: z.string().optional(),
        })
        .prefault({}),
      sasl: sasl.optional(),
      connectTimeoutMs: positive.default(5_000),
      requestTimeoutMs: positive.default(30_000),
      sessionTimeoutMs: positive.default(10_000),
      transactionTimeoutMs: positive.default(15_000),
      embedded: z
        .strictObject({
          dataDir: z.string().optional().describe('default: a folder of the user cache'),
          port: port.default(0),
          heapMb: positive.default(512),
        })
        .prefault({}),
    })
    .prefault({}),
  topics: z
    .strictObject({
      create: z.boolean().default(true).describe('create missing topics at the start'),
      ingestPartitions: z.number().int().min(1).max(10_000).default(12),
      retentionHours: z.number().positive().default(24),
      maxMessageBytes: z
        .number()
        .int()
        .min(64 * 1024)
        .default(8 * MiB)
        .describe('of ingest and shard topics'),
      replicas: positive.optional().describe('default: min(3, brokers)'),
    })
    .prefault({}),
  routing: z
    .strictObject({
      traces: signalRouting(['trace_id', 'service.name', 'resource'], 'trace_id'),
      metrics: signalRouting(['resource', 'service.name', 'metric.name'], 'resource'),
      logs: signalRouting(['trace_id', 'service.name', 'resource'], 'trace_id'),
      vnodes: z.number().int().min(1).max(4_096).default(160).describe('virtual nodes a shard on the ring'),
      keepHeaders: z.array(z.string().min(1)).max(8).default(['tenant']),
      overrides: z
        .array(
          z.strictObject({
            signal: z.enum(['traces', 'metrics', 'logs']),
            key: z.string().describe('as in `weir inspect`: 32 hex digits for a trace id, else the text'),
            shard: z.number().int().min(0),
          }),
        )
        .max(1_024)
        .default([]),
    })
    .prefault({}),
  poll: z
    .strictObject({
      maxRecords: positive.default(512),
      maxBytes: positive.default(8_000_000),
      maxOutputRatio: z
        .number()
        .min(1)
        .default(4)
        .describe('a poll ends before its output would outgrow its input by this'),
    })
    .prefault({}),
  bridge: z
    .strictObject({
      maxRequestBytes: positive.default(64 * MiB),
      lingerMs: z.number().min(0).default(5),
      batchBytes: positive.default(MiB),
      queueBytes: positive.default(128 * MiB),
      ackTimeoutMs: positive.default(30_000),
    })
    .prefault({}),
  load: z
    .strictObject({ reportIntervalMs: positive.default(1_000), slotIntervalMs: positive.default(10_000) })
    .prefault({}),
  control: z
    .strictObject({
      tickMs: positive.default(1_000),
      windowMs: positive.default(15_000).describe('load is averaged over this'),
      scaling: z
        .strictObject({
          cpuHigh: share.default(0.8),
          cpuHighTarget: share.default(0.7),
          cpuLow: share.default(0.3),
          cpuLowTarget: share.default(0.5),
          memoryHigh: share.default(0.85),
          memoryTarget: share.default(0.7),
          maxRpsPerInstance: z.number().positive().default(1_000),
          cooldownMs: positive.default(60_000),
          stabilisationMs: z.number().int().min(0).default(10_000).describe('a condition must hold this long'),
        })
        .prefault({}),
      rebalance: z
        .strictObject({
          hotRatio: z.number().min(1).default(1.5).describe('a shard above this times the mean is hot'),
          targetRatio: z.number().min(1).default(1.15),
          maxMoves: positive.default(4_096).describe('slots a decision may move'),
          minBytesPerSecond: z.number().min(0).default(10_000).describe('below this the signal is left alone'),
          cooldownMs: positive.default(60_000),
        })
        .prefault({}),
    })
    .prefault({}),
  api: z.strictObject({ token: z.string().min(16).optional().describe('for changes from off loopback') }).prefault({}),
  log: z
    .strictObject({
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
    })
    .prefault({}),
});

export type Config = z.infer<typeof configSchema>;
/** As a user writes it: every key may be missing. */
export type ConfigInput = z.input<typeof configSchema>;

export const defaultConfig = (over: ConfigInput = {}): Config => configSchema.parse(over);
