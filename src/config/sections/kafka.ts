/** `kafka`: the cluster, and how to get at it. */
import { z } from 'zod';
import { port, positive, text } from './fields.ts';

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

export const kafkaSchema = z
  .strictObject({
    brokers,
    driver: z
      .enum(['kafkajs', 'librdkafka'])
      .default('kafkajs')
      .describe('what fetches and writes; librdkafka needs the package @confluentinc/kafka-javascript'),
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
  .prefault({});
