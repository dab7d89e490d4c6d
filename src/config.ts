/**
 * Every setting, its default, what is allowed and what it means. `config/load.ts` fills it from flags, environment, file and
 * defaults, in that order of precedence; `config/settings.ts` derives the README's table, the environment's names and the
 * texts of errors from it. Units stand in the names.
 *
 * Metadata beside the description: `allowed` (in words, where the schema's own limits do not say it) and `secret` (never
 * shown in a text or a log).
 */
import { z } from 'zod';

const MiB = 1024 * 1024;

declare module 'zod' {
  interface GlobalMeta {
    /** What is allowed, in words, where the schema's limits do not say it. */
    allowed?: string;
    /** Never shown in a text or a log. */
    secret?: boolean;
  }
}

const text = () => z.string().min(1);
const port = (usual: number) => z.number().int().min(0).max(65_535).default(usual);
const positive = (usual: number) => z.number().int().positive().default(usual);
const share = (usual: number) => z.number().min(0).max(1).default(usual);

/** 'trace_id' | 'service.name' | 'resource' | 'metric.name' | 'resource:<attribute name>' | 'item:<attribute name>'. */
const routingKey = (names: readonly string[], owners: readonly string[]) => {
  const byAttribute = owners.map((owner) => `${owner}:<attribute>`);
  const allowed = `${[...names, ...byAttribute.slice(0, -1)].join(', ')} or ${byAttribute.at(-1)}`;
  const pattern = new RegExp(`^(${owners.join('|')}):.+$`);
  return z
    .string()
    .refine((value) => names.includes(value) || pattern.test(value), allowed)
    .meta({ allowed });
};

/** A metric has no attributes of its own: those of its data points differ from point to point. */
const signalRouting = (item: string, keys: readonly string[], usual: string, owners = ['resource', 'item']) =>
  z
    .strictObject({
      key: routingKey(keys, owners)
        .default(usual)
        .describe(`what decides where a ${item} goes; without it service.name, then resource`),
      shards: z.number().int().min(1).max(4_096).default(16).describe(`shards, and so shard topics, for ${item}s`),
    })
    .prefault({});

const password = () => text().meta({ description: 'password', secret: true });
const username = () => text().describe('user name');

const sasl = z
  .discriminatedUnion('mechanism', [
    z.strictObject({
      mechanism: z.literal('plain').describe('how to log in'),
      username: username(),
      password: password(),
    }),
    z.strictObject({ mechanism: z.literal('scram-sha-256'), username: username(), password: password() }),
    z.strictObject({ mechanism: z.literal('scram-sha-512'), username: username(), password: password() }),
    z.strictObject({
      mechanism: z.literal('oauthbearer'),
      tokenFile: text().optional().describe('file that holds the token, read again at each log-in'),
      tokenEndpoint: z.url().optional().describe('or: where the client credentials grant gets a token'),
      clientId: text().optional().describe('for tokenEndpoint'),
      clientSecret: text().optional().meta({ description: 'for tokenEndpoint', secret: true }),
      scope: text().optional().describe('for tokenEndpoint'),
    }),
  ])
  .superRefine((value, context) => {
    if (value.mechanism !== 'oauthbearer') return;
    const fail = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    if (value.tokenFile && value.tokenEndpoint) fail('tokenEndpoint', 'either tokenFile or tokenEndpoint, not both');
    if (!value.tokenFile && !value.tokenEndpoint)
      fail('tokenFile', 'tokenFile, or tokenEndpoint with clientId and clientSecret');
    if (value.tokenEndpoint && !value.clientId) fail('clientId', 'a text, as tokenEndpoint is set');
    if (value.tokenEndpoint && !value.clientSecret) fail('clientSecret', 'a text, as tokenEndpoint is set');
  });

const tls = z
  .strictObject({
    enabled: z.boolean().default(false).describe('encrypt the connections to the brokers'),
    caFile: text().optional().describe("PEM file of the authorities to trust; without it the system's"),
    certFile: text().optional().describe('PEM file of the client certificate (mutual TLS)'),
    keyFile: text().optional().describe('PEM file of its private key'),
    serverName: text().optional().describe("name to expect in the broker's certificate; without it the host's"),
  })
  .superRefine((value, context) => {
    const fail = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    for (const key of ['caFile', 'certFile', 'keyFile', 'serverName'] as const)
      if (value[key] !== undefined && !value.enabled) fail(key, 'only beside kafka.tls.enabled: true');
    if (value.certFile && !value.keyFile) fail('keyFile', 'the key of kafka.tls.certFile');
    if (value.keyFile && !value.certFile) fail('certFile', 'the certificate of kafka.tls.keyFile');
  })
  .prefault({});

const bridgeTls = z
  .strictObject({
    enabled: z.boolean().default(false).describe('serve OTLP over TLS, by gRPC and HTTP'),
    certFile: text().optional().describe("PEM file of the bridge's certificate, with its chain"),
    keyFile: text().optional().describe('PEM file of its private key'),
    clientCaFile: text().optional().describe('PEM file of the authorities of client certificates (mutual TLS)'),
    requireClientCert: z
      .boolean()
      .default(true)
      .describe('with clientCaFile: refuse clients without a certificate; false: it stands in for credentials'),
  })
  .superRefine((value, context) => {
    const fail = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    for (const key of ['certFile', 'keyFile'] as const)
      if (value.enabled && value[key] === undefined) fail(key, 'a PEM file, as bridge.tls.enabled is true');
    for (const key of ['certFile', 'keyFile', 'clientCaFile'] as const)
      if (value[key] !== undefined && !value.enabled) fail(key, 'only beside bridge.tls.enabled: true');
    if (!value.requireClientCert && value.clientCaFile === undefined)
      fail('requireClientCert', 'false only beside bridge.tls.clientCaFile');
  })
  .prefault({});

const BROKER = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/;
const brokers = z
  .string()
  .refine(
    (value) =>
      ['auto', 'embedded', 'memory'].includes(value) || value.split(',').every((broker) => BROKER.test(broker.trim())),
    'HOST:PORT[,HOST:PORT...], embedded, memory or auto',
  )
  .meta({ allowed: 'HOST:PORT[,HOST:PORT...], embedded, memory or auto' })
  .default('auto')
  .describe('the Kafka to work on; auto: an embedded one where Java is, else the in-process log');

const override = z.strictObject({
  signal: z.enum(['traces', 'metrics', 'logs']),
  /** As in `weir inspect`: 32 hex digits for a trace id, else the text. */
  key: text(),
  shard: z.number().int().min(0),
});

export const configSchema = z
  .strictObject({
    prefix: z
      .string()
      .regex(/^[a-zA-Z0-9._-]{0,100}$/)
      .meta({ allowed: 'letters, digits, ".", "_" and "-", at most 100' })
      .default('')
      .describe('begins every topic, group and transactional id, so that installations share a cluster'),
    host: text().default('127.0.0.1').describe('address that bridge and API listen on'),
    grpcPort: port(4317).describe('OTLP/gRPC; 0 picks a free port'),
    httpPort: port(4318).describe('OTLP/HTTP; 0 picks a free port'),
    apiPort: port(8080).describe('API, metrics and health; 0 picks a free port'),
    demo: z.boolean().default(true).describe('`weir up` only: send the traffic of a small simulated shop'),
    kafka: z
      .strictObject({
        brokers,
        clientId: text().default('weir').describe("name in the brokers' logs and quotas"),
        compression: z
          .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
          .default('none')
          .describe('of the record batches that Weir writes; all of them are read'),
        instanceId: z
          .string()
          .regex(/^[a-zA-Z0-9._-]{1,200}$/)
          .meta({ allowed: 'letters, digits, ".", "_" and "-", at most 200' })
          .optional()
          .describe(
            'name of this processor and no other: killed and restarted within the session timeout it has its partitions back at once; workers have names of their own in any case',
          ),
        tls,
        sasl: sasl.optional(),
        connectTimeoutMs: positive(5_000).describe('for one connection to a broker'),
        requestTimeoutMs: positive(30_000).describe('for one request to a broker'),
        sessionTimeoutMs: positive(10_000).describe(
          'after this without a heartbeat a member counts as dead; brokers refuse less than 6000 by default',
        ),
        transactionTimeoutMs: positive(15_000).describe(
          'the broker aborts an open transaction after this; a dead processor holds readers back so long',
        ),
        embedded: z
          .strictObject({
            dataDir: text()
              .optional()
              .describe('where the embedded broker keeps its data; without it kafka-data in ~/.cache/weir'),
            port: port(0).describe('port of the embedded broker; 0 picks a free port'),
            heapMb: positive(512).describe("the embedded broker's heap, in MiB"),
          })
          .prefault({}),
      })
      .prefault({}),
    topics: z
      .strictObject({
        create: z.boolean().default(true).describe('create missing topics at the start; false: `weir topics --print`'),
        ingestPartitions: z
          .number()
          .int()
          .min(1)
          .max(10_000)
          .default(12)
          .describe('partitions of each new ingest topic'),
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
      .prefault({}),
    routing: z
      .strictObject({
        traces: signalRouting('span', ['trace_id', 'service.name', 'resource'], 'trace_id'),
        metrics: signalRouting('metric', ['resource', 'service.name', 'metric.name'], 'resource', ['resource']),
        logs: signalRouting('log record', ['trace_id', 'service.name', 'resource'], 'trace_id'),
        vnodes: z.number().int().min(1).max(4_096).default(160).describe('virtual nodes a shard on the ring'),
        keepHeaders: z
          .array(text())
          .max(8)
          .default(['tenant'])
          .describe('record headers to keep; records of different values never share a shard record'),
        overrides: z
          .array(override)
          .max(1_024)
          .meta({ allowed: 'a list of {signal, key, shard}, at most 1024' })
          .default([])
          .describe('keys that go to a shard of their own; key: 32 hex digits for a trace id, else the text'),
      })
      .superRefine((routing, context) => {
        const seen = new Set<string>();
        for (const [index, { signal, key, shard }] of routing.overrides.entries()) {
          const fail = (field: string, message: string) =>
            context.addIssue({ code: 'custom', path: ['overrides', index, field], message });
          if (shard >= routing[signal].shards)
            fail('shard', `0 to ${routing[signal].shards - 1}, the shards of ${signal}`);
          if (seen.has(`${signal}/${key}`)) fail('key', `one override a key of ${signal}`);
          seen.add(`${signal}/${key}`);
        }
      })
      .prefault({}),
    poll: z
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
          .describe(
            'when retention has overtaken a committed offset: stop that partition, or go on with what is there',
          ),
        onCorruptBatch: z
          .enum(['dead-letter', 'stop'])
          .default('dead-letter')
          .describe(
            'what to do with a record batch that no version can read: put it away as it is, or stop that partition',
          ),
      })
      .prefault({}),
    bridge: z
      .strictObject({
        maxRequestBytes: z
          .number()
          .int()
          .positive()
          .max(256 * MiB)
          .default(64 * MiB)
          .describe('largest request, also after decompression'),
        maxInflationRatio: positive(100).describe(
          'most bytes that a compressed one becomes, in a request that is over 16 MiB decompressed',
        ),
        lingerMs: z
          .number()
          .min(0)
          .default(5)
          .describe('how long requests are gathered for one produce call, unless Kafka has nothing else to do'),
        batchBytes: positive(MiB).describe('a produce call is sent at once from this many bytes'),
        queueBytes: positive(128 * MiB).describe(
          'accepted and not yet on Kafka; beyond it exporters are told to retry',
        ),
        ackTimeoutMs: positive(30_000).describe('after this without an answer of Kafka the exporter is told to retry'),
        tls: bridgeTls,
        auth: z
          .strictObject({
            credentialsFile: text()
              .optional()
              .describe('YAML file of the tokens and users that may send, each with its tenant (docs/bridge.md)'),
          })
          .prefault({}),
        tenantFromHeader: text()
          .optional()
          .describe("request header that names the tenant where the caller's credentials do not; without it none does"),
        cors: z
          .strictObject({
            allowedOrigins: z
              .array(text())
              .default([])
              .describe('pages whose scripts may send, such as https://*.example.com; none: CORS is off'),
            allowedHeaders: z
              .array(text())
              .default(['content-type', 'content-encoding', 'authorization'])
              .describe('request headers that such scripts may set'),
            maxAgeSeconds: z.number().int().min(0).default(7_200).describe('how long browsers keep a preflight'),
          })
          .prefault({}),
        maxConnections: positive(10_000).describe('most connections to each of the two ports; more are dropped'),
        maxConcurrentStreams: positive(100).describe('most requests at a time on a gRPC connection'),
        maxHeaderBytes: z
          .number()
          .int()
          .min(1_024)
          .max(MiB)
          .default(16_384)
          .describe("most bytes of a request's headers"),
        headersTimeoutMs: positive(10_000).describe('for a handshake, and for the headers of a request to come'),
        requestTimeoutMs: positive(60_000).describe('for a whole request to come'),
        idleTimeoutMs: positive(300_000).describe('a connection without requests is closed after this'),
        keepAliveMs: positive(60_000).describe('a silent gRPC connection is pinged after this'),
        keepAliveTimeoutMs: positive(20_000).describe(
          'a gRPC connection that leaves a ping unanswered is dead after this',
        ),
        minPingIntervalMs: z
          .number()
          .int()
          .min(0)
          .default(10_000)
          .describe('gRPC clients that ping more often than this, without requests between, are cut off'),
      })
      .prefault({}),
    process: z
      .strictObject({
        workers: z
          .number()
          .int()
          .min(1)
          .max(256)
          .optional()
          .describe('worker processes of `weir process`; without it one a core'),
      })
      .prefault({}),
    load: z
      .strictObject({
        reportIntervalMs: positive(1_000).describe('how often a member reports its load, which is its heartbeat, too'),
        slotIntervalMs: positive(10_000).describe('how often a report holds the load of each slot'),
      })
      .prefault({}),
    control: z
      .strictObject({
        tickMs: positive(1_000).describe('how often the leader decides'),
        windowMs: positive(15_000).describe('load is averaged over this'),
        scaling: z
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
          .prefault({}),
        ring: z
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
          .prefault({}),
        rebalance: z
          .strictObject({
            apply: z.boolean().default(true).describe('carry out the slot moves of a decision; false: only decide'),
            hotRatio: z
              .number()
              .min(1)
              .default(1.5)
              .describe('a shard above this times its fair share of the load is hot'),
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
            minBytesPerSecond: z.number().min(0).default(10_000).describe('a signal below this is left alone'),
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
          .prefault({}),
        capacity: z
          .strictObject({
            apply: z
              .boolean()
              .default(false)
              .describe('carry out the splits and merges of a decision; false: only decide'),
            bytesPerSecond: z
              .number()
              .positive()
              .default(10_000_000)
              .describe('item bytes a second that a shard of capacity 1 can carry'),
            minShards: z
              .int()
              .min(1)
              .max(4_096)
              .default(16)
              .describe('a signal is not merged down to fewer shards than this'),
            maxShards: z
              .int()
              .min(1)
              .max(4_096)
              .default(256)
              .describe('a signal is not split into more shards than this'),
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
              .describe('a shard that came to be, was split or took in another is not merged for this'),
            cooldownMs: positive(60_000).describe(
              'after such a decision a signal is neither split nor merged for this',
            ),
          })
          .superRefine((value, context) => {
            if (value.minShards > value.maxShards)
              context.addIssue({
                code: 'custom',
                path: ['minShards'],
                message: `at most maxShards (${value.maxShards})`,
              });
          })
          .prefault({}),
      })
      .prefault({}),
    api: z
      .strictObject({
        token: z
          .string()
          .min(16)
          .optional()
          .meta({ description: 'what changes from off loopback must show', secret: true }),
      })
      .prefault({}),
    log: z
      .strictObject({
        level: z
          .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
          .default('info')
          .describe('least level of a log line'),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    const taken = new Map<number, string>();
    for (const key of ['grpcPort', 'httpPort', 'apiPort'] as const) {
      const other = taken.get(config[key]);
      if (other) context.addIssue({ code: 'custom', path: [key], message: `a port other than ${other}'s` });
      if (config[key] !== 0) taken.set(config[key], key);
    }
    const { auth, tenantFromHeader } = config.bridge;
    if ((auth.credentialsFile ?? tenantFromHeader) && !config.routing.keepHeaders.includes('tenant'))
      context.addIssue({
        code: 'custom',
        path: ['routing', 'keepHeaders'],
        message: 'a list with "tenant", as the bridge is told of tenants: without it shard records would mix them',
      });
  });

export type Config = z.infer<typeof configSchema>;
/** As a user writes it: every key may be missing. */
export type ConfigInput = z.input<typeof configSchema>;

export const defaultConfig = (over: ConfigInput = {}): Config => configSchema.parse(over);
