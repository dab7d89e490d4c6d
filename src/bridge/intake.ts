/**
 * What both transports do with a request once they hold its body as protobuf: have the kernel look at it, cut it if no one
 * record can hold it, hand it to the batcher, and count and log what became of it.
 */
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Headers } from '../kafka/port.ts';
import { CALL_BOUNDS, type FaultReason, type RequestCounts } from '../kernels/split/kernel.ts';
import type { Metrics } from '../metrics.ts';
import { ITEM_NAMES, type Signal } from '../signals.ts';
import type { Batcher, SubmitOutcome } from './batcher.ts';
import type { ByteBudget } from './byte-budget.ts';
import { type FittedRequest, fitAgain, fitRequest } from './fitted-request.ts';
import type { IngestTopics } from './ingest-topics.ts';
import type { PartialSuccess } from './partial-success.ts';
import { maxValueBytes } from './record-bytes.ts';
import { REFUSALS, type Refusal, type RefusalReason } from './refusal.ts';
import { createRefusalLog } from './refusal-log.ts';
import { firstResource, orderHash } from './request-frames.ts';
import type { RequestKernel } from './request-kernel.ts';
import type { RetryDelay } from './retry-delay.ts';

/** Named as in OTEL_EXPORTER_OTLP_PROTOCOL. */
export type Transport = 'grpc' | 'http/protobuf' | 'http/json';

export interface IncomingRequest {
  readonly signal: Signal;
  readonly transport: Transport;
  /** Protobuf, decompressed. Nobody changes it from here on. */
  readonly body: Uint8Array;
  /** Value of a header (or gRPC metadata) by its lower-case name, several joined by ", ". */
  readonly header: (name: string) => Uint8Array | undefined;
  /** True once the exporter has gone away. */
  readonly abandoned: () => boolean;
}

/** Kafka has stored it: all of it, or all but what `partial` tells. */
export interface Acceptance {
  readonly kind: 'accepted';
  readonly partial: PartialSuccess | null;
}

export interface Intake {
  accept(request: IncomingRequest): Promise<Acceptance | Refusal>;
  /** Why no request would be taken now, whatever it holds; null when it may be read. */
  turnedAway(signal: Signal, transport: Transport, bytes: number): Refusal | null;
  /** Counts and logs a refusal that the transport itself makes. */
  refuse(signal: Signal | null, transport: Transport, reason: RefusalReason, message: string): Refusal;
  /** As `refuse`, for an error that nobody expects: the log has it whole, the exporter only hears of it. */
  bug(signal: Signal | null, transport: Transport, error: unknown): Refusal;
  /** From now on every request is refused. */
  stop(): void;
}

export interface IntakeDeps {
  readonly config: Config;
  readonly topics: IngestTopics;
  readonly kernel: RequestKernel;
  readonly batcher: Batcher;
  readonly budget: ByteBudget;
  readonly retryDelay: RetryDelay;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Told of each accepted request: its items, and its bytes as protobuf. */
  readonly onAccepted?: ((items: number, bytes: number) => void) | undefined;
}

/** Of the value of a kept header. A longer one is refused, as a cut one could be another tenant's. */
const MAX_HEADER_BYTES = 256;
/** Of the items that are in no record so many are named. */
const NAMED_ITEMS = 20;

const FAULTS: Readonly<Record<FaultReason, string>> = {
  bad_tag: 'no field begins there (a tag that is cut off or too long, field number 0, or a group)',
  bad_value: 'a number is cut off, or too long',
  bad_length: 'a length is cut off, or leads beyond what holds it',
  too_deep: 'more than 100 messages are within each other',
  bad_numbers: 'packed numbers do not fill their field',
};
/** In OTLP's words: of metrics it counts the data points. */
const POINT_NAMES: Readonly<Record<Signal, string>> = {
  traces: 'spans',
  metrics: 'metrics with their data points',
  logs: 'log records',
};

export function createIntake(deps: IntakeDeps): Intake {
  const { config, topics, kernel, batcher, budget, retryDelay, metrics, log, onAccepted } = deps;
  const refusals = createRefusalLog(log);
  let stopped = false;

  const refuse: Intake['refuse'] = (signal, transport, reason, message) => {
    metrics.bridgeRequests.inc({ signal: signal ?? 'none', transport, outcome: reason });
    refusals.note({ signal, transport, reason, message });
    const retryAfterMs = REFUSALS[reason].retry ? retryDelay.nextMs() : null;
    return { kind: 'refused', reason, message, retryAfterMs };
  };

  const turnedAway: Intake['turnedAway'] = (signal, transport, bytes) => {
    if (stopped) return refuse(signal, transport, 'closing', 'the bridge is shutting down; send to another one');
    return budget.hasRoomFor(bytes) ? null : full(signal, transport, bytes);
  };

  const full = (signal: Signal, transport: Transport, bytes: number) =>
    refuse(
      signal,
      transport,
      'queue_full',
      `${budget.heldBytes} bytes are being read or wait for Kafka, ${bytes} more would exceed bridge.queueBytes (${budget.limitBytes})`,
    );

  function keptHeaders(header: IncomingRequest['header']): Headers | string {
    const kept: [string, Uint8Array][] = [];
    for (const name of config.routing.keepHeaders) {
      const value = header(name.toLowerCase());
      if (value === undefined || value.length === 0) continue;
      if (value.length > MAX_HEADER_BYTES)
        return `header "${name}" has ${value.length} bytes; at most ${MAX_HEADER_BYTES} are taken`;
      kept.push([name, value]);
    }
    return kept;
  }

  async function accept(request: IncomingRequest): Promise<Acceptance | Refusal> {
    const { signal, transport, body } = request;
    const startedAt = performance.now();
    const away = turnedAway(signal, transport, body.length);
    if (away) return away;
    const read = await holding(body, () => readWhole(request));
    if (read.kind === 'refused') return read;
    const stored = await store(request, read);
    if (stored.kind === 'refused') return stored;
    const { items, partial } = stored;
    metrics.bridgeRequests.inc({ signal, transport, outcome: 'ok' });
    metrics.bridgeBytes.inc({ signal, transport }, body.length);
    metrics.bridgeItems.inc({ signal, transport }, items);
    if (partial) {
      metrics.bridgeRejected.inc({ signal, transport }, partial.rejected);
      refusals.note({ signal, transport, reason: 'partial_success', message: partial.message });
    }
    onAccepted?.(items, body.length);
    if (read.pieces.length > 0) {
      metrics.bridgeAckSeconds.observe({ signal, transport }, (performance.now() - startedAt) / 1_000);
    }
    return { kind: 'accepted', partial };
  }

  /** Held while it is being looked at, so that it leaves less room for others. */
  async function holding<T>({ length }: Uint8Array, work: () => Promise<T>): Promise<T> {
    budget.hold(length);
    try {
      return await work();
    } finally {
      budget.release(length);
    }
  }

  /** A request as records, each within the limit of its topic. */
  interface ReadRequest extends FittedRequest {
    readonly headers: Headers;
    /** Of the whole request. */
    readonly counts: RequestCounts;
    /** The limit of the topic, as it was known. */
    readonly maxMessageBytes: number;
  }

  async function readWhole(request: IncomingRequest): Promise<ReadRequest | Refusal> {
    const { signal, transport, body, header } = request;
    const validation = await kernel.validate(signal, body);
    if (validation.kind === 'malformed') {
      const { at, reason } = validation.fault;
      const message = `the body is no OTLP ${signal} request: at byte ${at} of ${body.length}, ${FAULTS[reason]}`;
      return refuse(signal, transport, 'malformed', message);
    }
    const { counts } = validation;
    const crossed = (['items', 'resources', 'scopes'] as const).find((what) => counts[what] > CALL_BOUNDS[what]);
    if (crossed) {
      const what = crossed === 'items' ? ITEM_NAMES[signal] : crossed;
      const message = `the request has ${counts[crossed]} ${what}, and may have ${CALL_BOUNDS[crossed]}: send smaller batches`;
      return refuse(signal, transport, 'too_large', message);
    }
    const headers = keptHeaders(header);
    if (typeof headers === 'string') return refuse(signal, transport, 'header_too_long', headers);
    const { maxMessageBytes } = topics[signal];
    const limitBytes = maxValueBytes(maxMessageBytes, headers);
    const fitted = await fitRequest(kernel, signal, body, counts.items, limitBytes);
    if (fitted.kind === 'too-large') return refuseRepeating(request, limitBytes);
    return { ...fitted, headers, counts, maxMessageBytes };
  }

  function refuseRepeating({ signal, transport }: IncomingRequest, limitBytes: number): Refusal {
    const message =
      `a Kafka record takes ${limitBytes} bytes, and the request's resources are so large, beside the ${ITEM_NAMES[signal]} in them, ` +
      'that repeating them in each record would multiply it: send smaller resources';
    return refuse(signal, transport, 'too_large', message);
  }

  interface Stored {
    readonly kind: 'stored';
    readonly items: number;
    readonly partial: PartialSuccess | null;
  }

  /** Until Kafka has it. What Kafka finds too large is cut again, where the topic's limit was lowered meanwhile. */
  async function store(request: IncomingRequest, read: ReadRequest): Promise<Stored | Refusal> {
    const { signal, transport, body, abandoned } = request;
    const { headers } = read;
    const hash = signal === 'traces' ? 0 : orderHash(firstResource(body));
    let left = read;
    let partly = false;
    for (;;) {
      const { pieces, counts, large } = left;
      const items = counts.items - large.length;
      const outcome = await batcher.submit({ signal, pieces, headers, orderHash: hash, abandoned });
      let refusal: Refusal | null = null;
      if (outcome.kind === 'refused') {
        partly ||= outcome.pieces.length < pieces.length;
        const again = outcome.tooLarge ? await holding(body, () => readAgain(request, left, outcome.pieces)) : null;
        if (again?.kind === 'fitted') {
          left = again;
          continue;
        }
        refusal = again;
      }
      const doubtful = outcome.kind === 'unknown' || (outcome.kind === 'stored' ? abandoned() : partly);
      if (doubtful) metrics.bridgeUnknownItems.inc({ signal, transport }, items);
      if (outcome.kind !== 'stored') return refusal ?? refuseOutcome(request, outcome);
      return { kind: 'stored', items, partial: large.length === 0 ? null : partialOf(signal, left) };
    }
  }

  /** The pieces that Kafka has refused, cut to what it takes now; null: it takes no less than was known. */
  async function readAgain(
    request: IncomingRequest,
    left: ReadRequest,
    refused: readonly Uint8Array[],
  ): Promise<ReadRequest | Refusal | null> {
    const { signal } = request;
    if (topics[signal].maxMessageBytes >= left.maxMessageBytes) await topics.lookAgain();
    const { maxMessageBytes } = topics[signal];
    if (maxMessageBytes >= left.maxMessageBytes) return null;
    const limitBytes = maxValueBytes(maxMessageBytes, left.headers);
    const fitted = await fitAgain(kernel, signal, left, refused, limitBytes);
    return fitted.kind === 'too-large' ? refuseRepeating(request, limitBytes) : { ...left, ...fitted, maxMessageBytes };
  }

  function partialOf(signal: Signal, { large, counts, headers, maxMessageBytes }: ReadRequest): PartialSuccess {
    const { topic } = topics[signal];
    const limit = maxValueBytes(maxMessageBytes, headers);
    const named = large.slice(0, NAMED_ITEMS).map(({ index }) => index);
    const others = large.length - named.length;
    const message =
      `${large.length} of ${counts.items} ${POINT_NAMES[signal]} were rejected, each of them, with its resource and scope, larger than the ` +
      `${limit} bytes that a Kafka record takes (max.message.bytes of ${topic} is ${maxMessageBytes}); counted from 0 through the ` +
      `request: ${named.join(', ')}${others > 0 ? ` and ${others} more` : ''}`;
    return { signal, rejected: large.reduce((sum, { points }) => sum + points, 0), message };
  }

  function refuseOutcome(
    { signal, transport, body }: IncomingRequest,
    outcome: Exclude<SubmitOutcome, { kind: 'stored' }>,
  ): Refusal {
    switch (outcome.kind) {
      case 'full':
        return full(signal, transport, body.length);
      case 'closing':
        return refuse(signal, transport, 'closing', 'the bridge is shutting down; send to another one');
      case 'abandoned':
        return refuse(signal, transport, 'abandoned', 'the exporter went away before the request was sent to Kafka');
      case 'unknown':
        return refuse(signal, transport, 'kafka_unknown', `Kafka has not acknowledged: ${outcome.cause.message}`);
      case 'refused':
        if (outcome.tooLarge) {
          const { topic, maxMessageBytes } = topics[signal];
          const message =
            `Kafka finds the request too large (${body.length} bytes), though max.message.bytes of ${topic} is ${maxMessageBytes}; ` +
            'see that its segment.bytes is no less';
          return refuse(signal, transport, 'too_large', message);
        }
        return refuse(signal, transport, 'kafka_refused', `Kafka refuses the request: ${outcome.cause.message}`);
    }
  }

  return {
    accept,
    turnedAway,
    refuse,
    bug(signal, transport, error) {
      log.error({ err: error, signal, transport }, 'a request met a bug of the bridge');
      return refuse(signal, transport, 'internal', 'the request met a bug of the bridge, whose log has more');
    },
    stop() {
      stopped = true;
    },
  };
}
