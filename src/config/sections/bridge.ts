/** `bridge`: what it takes, from whom, and how it hands it on. */
import { z } from 'zod';
import { MiB, positive, text } from './fields.ts';

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

export const bridgeSchema = z
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
    queueBytes: positive(128 * MiB).describe('accepted and not yet on Kafka; beyond it exporters are told to retry'),
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
    maxHeaderBytes: z.number().int().min(1_024).max(MiB).default(16_384).describe("most bytes of a request's headers"),
    headersTimeoutMs: positive(10_000).describe('for a handshake, and for the headers of a request to come'),
    requestTimeoutMs: positive(60_000).describe('for a whole request to come'),
    idleTimeoutMs: positive(300_000).describe('a connection without requests is closed after this'),
    keepAliveMs: positive(60_000).describe('a silent gRPC connection is pinged after this'),
    keepAliveTimeoutMs: positive(20_000).describe('a gRPC connection that leaves a ping unanswered is dead after this'),
    minPingIntervalMs: z
      .number()
      .int()
      .min(0)
      .default(10_000)
      .describe('gRPC clients that ping more often than this, without requests between, are cut off'),
  })
  .prefault({});
