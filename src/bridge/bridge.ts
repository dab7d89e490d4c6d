/**
 * The bridge: takes OTLP from exporters and puts it on the ingest topics, as it is unless no record can hold it. An exporter gets its acknowledgement
 * after Kafka has given its own (acks=all). The way of a request: `grpc.ts` or `http.ts` (there JSON becomes protobuf
 * in `otlp-json.ts`) -> `intake.ts`, with `request-kernel.ts` -> `batcher.ts` -> producer.
 */
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Admin, Producer } from '../kafka/port.ts';
import type { Metrics } from '../metrics.ts';
import type { Signal } from '../signals.ts';
import { openAdmission } from './admission.ts';
import { createBatcher } from './batcher.ts';
import { ByteBudget } from './byte-budget.ts';
import { type GrpcEndpoint, startGrpc } from './grpc.ts';
import { startHttp } from './http.ts';
import { followIngestTopics, type IngestTopic } from './ingest-topics.ts';
import { createIntake } from './intake.ts';
import { type Endpoint, type EndpointOptions, warnOfOpenDoor } from './listen.ts';
import { loadRequestKernel } from './request-kernel.ts';
import { createRetryDelay } from './retry-delay.ts';
import { openServerTls } from './server-tls.ts';

export interface Bridge {
  /** host:port each. */
  readonly grpcAddress: string;
  readonly httpAddress: string;
  /**
   * Refuses new requests as UNAVAILABLE / 503, finishes what was accepted, then stops listening. Takes 10 s at most;
   * what Kafka has not acknowledged by then is answered as unknown. The producer stays open: it is the caller's.
   */
  close(): Promise<void>;
}

export interface BridgeDeps {
  readonly config: Config;
  readonly producer: Producer;
  readonly admin: Pick<Admin, 'describeTopics'>;
  /** The ingest topics as they are on the cluster now. */
  readonly topics: Readonly<Record<Signal, IngestTopic>>;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Told of each accepted request: its items, and its bytes as protobuf. */
  readonly onAccepted?: (items: number, bytes: number) => void;
  /** How long `close` waits for Kafka. Default 9 s, which leaves one for the connections. */
  readonly drainTimeoutMs?: number;
}

const DRAIN_TIMEOUT_MS = 9_000;
const CONNECTION_GRACE_MS = 1_000;

/** Listens before it returns. A taken port is WeirError PORT_TAKEN. */
export async function startBridge(deps: BridgeDeps): Promise<Bridge> {
  const { config, producer, admin, metrics, log, onAccepted, drainTimeoutMs = DRAIN_TIMEOUT_MS } = deps;
  const kernel = await loadRequestKernel((seconds) => metrics.kernelSeconds.inc(seconds));
  const tls = await openServerTls(config, log);
  const admission = await openAdmission(config, log).catch((error: unknown) => {
    tls?.close();
    throw error;
  });
  const budget = new ByteBudget(config.bridge.queueBytes, (bytes) => metrics.bridgeQueueBytes.set(bytes));
  const retryDelay = createRetryDelay();
  const topics = followIngestTopics(deps.topics, { admin, log });
  const batcher = createBatcher({
    producer,
    topics,
    lingerMs: config.bridge.lingerMs,
    batchBytes: config.bridge.batchBytes,
    budget,
    onBacklog: (backlogBytes, takenBytes) => retryDelay.changed(backlogBytes, takenBytes),
    onBug: (cause) => log.error({ err: cause }, 'the producer threw instead of giving outcomes'),
  });
  const intake = createIntake({ config, topics, kernel, batcher, budget, retryDelay, metrics, log, onAccepted });
  const shared = { config, intake, admission, budget, tls, metrics, log };
  const stopFollowing = () => {
    tls?.close();
    admission.close();
    topics.stop();
  };
  const [grpc, http] = await startEndpoints(shared).catch((error: unknown) => {
    stopFollowing();
    throw error;
  });
  log.info({ grpc: grpc.address, http: http.address, ...(tls && { tls: true }) }, 'OTLP bridge listens');
  warnOfOpenDoor(config, log);

  async function close(): Promise<void> {
    intake.stop();
    grpc.health.stopServing();
    await batcher.close(drainTimeoutMs);
    await Promise.all([grpc.close(CONNECTION_GRACE_MS), http.close(CONNECTION_GRACE_MS)]);
    stopFollowing();
    log.info('OTLP bridge closed');
  }
  let closing: Promise<void> | undefined;
  return {
    grpcAddress: grpc.address,
    httpAddress: http.address,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

async function startEndpoints(options: EndpointOptions): Promise<[GrpcEndpoint, Endpoint]> {
  const grpc = await startGrpc(options);
  const http = await startHttp(options).catch(async (error: unknown) => {
    await grpc.close(0);
    throw error;
  });
  return [grpc, http];
}
