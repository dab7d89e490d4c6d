/**
 * The parts of kafkajs 2.2.4 that Weir stands on, and the only file that reaches into it: a connection to one broker (with
 * ApiVersions, TLS and SASL) and the request definitions. Cluster, Consumer and Producer are not used: they retry by
 * count, reset offsets on their own, heartbeat between batches and reuse a connection's half-read bytes after it broke.
 *
 * These are private files of an unmaintained package, so the version is checked first: another one would need a new reading.
 */
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { requireKnownKafkajs } from './installed.ts';

requireKnownKafkajs();
const require = createRequire(import.meta.url);

export interface Encoder {
  readonly buffer: Buffer;
}

/** One request and how its answer is read. `D` is the decoded answer. */
export interface Protocol<D> {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    /** The body; in pieces where some of it is large. */
    encode(): Promise<Encoder> | readonly Uint8Array[];
  };
  /** Throws for no error code: those are the caller's to judge, one by one. */
  decode(payload: Buffer): D | Promise<D>;
}

/** Used until the connection stands (wire.ts). */
export interface RequestQueue {
  rejectAll(error: Error): void;
  /** From its first answer on it looks for throttled requests every millisecond, for ever. */
  scheduleCheckPendingRequests(): void;
}

export interface Connection {
  readonly host: string;
  readonly port: number;
  socket?: Socket;
  readonly sasl: object | null;
  readonly requestQueue: RequestQueue;
  isAuthenticated(): boolean;
  disconnect(): Promise<boolean>;
}

export type ApiVersions = Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>>;

export interface Broker {
  readonly connectionPool: { readonly pool: readonly Connection[] };
  readonly versions: ApiVersions | null;
  connect(): Promise<void>;
}

export interface KafkajsLogger {
  namespace(): KafkajsLogger;
  setLogLevel(): void;
  debug(message: string, extra?: object): void;
  info(message: string, extra?: object): void;
  warn(message: string, extra?: object): void;
  error(message: string, extra?: object): void;
}

export type SocketFactory = (at: { host: string; port: number; ssl: object | null; onConnect: () => void }) => Socket;

export interface ConnectionOptions {
  host: string;
  port: number;
  clientId: string;
  ssl: object | null;
  sasl: object | null;
  logger: KafkajsLogger;
  socketFactory: SocketFactory;
  connectionTimeout: number;
  requestTimeout: number;
  enforceRequestTimeout: boolean;
  maxInFlightRequests: null;
  reauthenticationThreshold: number;
}

interface Definition {
  protocol(at: { version: number }): (options: object) => {
    readonly request: Protocol<never>['request'];
    /** It also has a `parse`, which throws on the first error code and so loses every other partition's answer. */
    readonly response: { decode(payload: Buffer): Promise<never> };
  };
}

type ConnectionPoolClass = new (options: ConnectionOptions) => { pool: Connection[] };
type BrokerClass = new (options: {
  connectionPool: { pool: Connection[] };
  logger: KafkajsLogger;
  authenticationTimeout: number;
}) => Broker;

/** Errors of kafkajs itself: the connection's, and the broker's "unsupported version". */
export const isKafkajsError = (thrown: unknown): boolean =>
  thrown instanceof (require('kafkajs/src/errors') as { KafkaJSError: new () => Error }).KafkaJSError;

export const ConnectionPool = require('kafkajs/src/network/connectionPool') as ConnectionPoolClass;
export const KafkajsBroker = require('kafkajs/src/broker') as BrokerClass;
export const { MemberMetadata, MemberAssignment } = require('kafkajs/src/consumer/assignerProtocol') as {
  MemberMetadata: {
    encode(metadata: { version: number; topics: readonly string[]; userData: Buffer }): Buffer;
    decode(bytes: Buffer): { topics: string[]; userData: Buffer | null };
  };
  MemberAssignment: {
    encode(assignment: { version: number; assignment: Record<string, number[]>; userData: Buffer }): Buffer;
    decode(bytes: Buffer): { assignment: Record<string, number[]>; userData: Buffer | null } | null;
  };
};

const requests = (require('kafkajs/src/protocol/requests') as { requests: Record<string, Definition> }).requests;

/** Answers as they are on the wire: error codes are numbers, nothing has been thrown yet. */
interface Answers {
  Metadata: {
    brokers: Array<{ nodeId: number; host: string; port: number }>;
    clusterId: string;
    controllerId: number;
    topicMetadata: Array<{
      topicErrorCode: number;
      topic: string;
      isInternal: boolean;
      partitionMetadata: Array<{ partitionErrorCode: number; partitionId: number; leader: number }>;
    }>;
  };
  GroupCoordinator: { errorCode: number; coordinator: { nodeId: number; host: string; port: number } };
  ListOffsets: {
    responses: Array<{ topic: string; partitions: Array<{ partition: number; errorCode: number; offset: string }> }>;
  };
  JoinGroup: {
    errorCode: number;
    generationId: number;
    leaderId: string;
    memberId: string;
    members: Array<{ memberId: string; memberMetadata: Buffer }>;
  };
  SyncGroup: { errorCode: number; memberAssignment: Buffer | null };
  Heartbeat: { errorCode: number };
  LeaveGroup: { errorCode: number };
  InitProducerId: { errorCode: number; producerId: string; producerEpoch: number };
  AddOffsetsToTxn: { errorCode: number };
  EndTxn: { errorCode: number };
  CreateTopics: { topicErrors: Array<{ topic: string; errorCode: number; errorMessage: string | null }> };
  DeleteTopics: { topicErrors: Array<{ topic: string; errorCode: number }> };
  DescribeConfigs: {
    resources: Array<{
      errorCode: number;
      errorMessage: string | null;
      resourceName: string;
      configEntries: Array<{ configName: string; configValue: string | null }>;
    }>;
  };
}

/** The version of each request that Weir speaks: kafkajs's newest, all within what Kafka 4 takes. */
const VERSIONS: Record<keyof Answers, number> = {
  Metadata: 6,
  GroupCoordinator: 2,
  ListOffsets: 3,
  JoinGroup: 5,
  SyncGroup: 3,
  Heartbeat: 3,
  LeaveGroup: 3,
  InitProducerId: 1,
  AddOffsetsToTxn: 1,
  EndTxn: 1,
  CreateTopics: 3,
  DeleteTopics: 1,
  DescribeConfigs: 2,
};

/** kafkajs's definition of a request. */
export function requestOf<N extends keyof Answers>(name: N, options: object): Protocol<Answers[N]> {
  const { request, response } = requests[name]!.protocol({ version: VERSIONS[name] })(options);
  return {
    // CreateTopics 4 has the bytes of 3; only from 4 on does the broker take -1 for its own default of replicas.
    request: name === 'CreateTopics' ? { ...request, apiVersion: 4 } : request,
    decode: (payload) => response.decode(payload),
  };
}
