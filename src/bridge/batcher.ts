/**
 * Gathers requests into produce calls. Each partition is a lane with at most one batch on its way, which keeps a lane's
 * records in the order of their arrival whatever the producer retries.
 *
 * - Traces fill one lane until its batch goes, then the next free one (their items are routed one by one later on, so any
 *   partition will do). Metrics and logs go to the lane of their order hash, so that one exporter's requests stay in order.
 * - A batch goes `lingerMs` after its first record, or at `batchBytes`; at once where no call has been on its way for `lingerMs`, as
 *   then there is nothing to gather with. All lanes that wait go in one call, while Kafka is quick. Once a call has been slow, lanes have calls of their own for a while: a partition without a leader then
 *   holds back nobody but itself.
 * - All that is accepted and not yet acknowledged is held against the bridge's byte budget; above that `submit` refuses.
 */
import type { Headers, Producer, ProducerRecord, SendOutcome } from '../kafka/port.ts';
import type { Signal } from '../signals.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { IngestTopic } from './ingest-topics.ts';

export interface Submission {
  readonly signal: Signal;
  /** One record each. Views that nobody changes from here on. */
  readonly pieces: readonly Uint8Array[];
  readonly headers: Headers;
  /** Submissions of one hash stay in order; ignored for traces. */
  readonly orderHash: number;
  /** True once nobody waits for the outcome: what is not yet sent is then dropped, as the exporter will send it again. */
  readonly abandoned?: () => boolean;
}

export type SubmitOutcome =
  | { readonly kind: 'stored' }
  /** `pieces`: those that were, in order; the others are stored. */
  | { readonly kind: 'refused'; readonly cause: Error; readonly pieces: readonly Uint8Array[] }
  /** At least one piece may or may not be stored. */
  | { readonly kind: 'unknown'; readonly cause: Error }
  | { readonly kind: 'full' }
  | { readonly kind: 'closing' }
  | { readonly kind: 'abandoned' };

export interface BatcherOptions {
  readonly producer: Producer;
  readonly topics: Readonly<Record<Signal, IngestTopic>>;
  readonly lingerMs: number;
  readonly batchBytes: number;
  readonly budget: ByteBudget;
  /** So many bytes wait for Kafka now, of which it has just taken `takenBytes`. */
  readonly onBacklog: (backlogBytes: number, takenBytes: number) => void;
  /** The producer rejected, which its contract excludes. */
  readonly onBug: (cause: Error) => void;
}

export interface Batcher {
  /** Accepted, and not yet acknowledged by Kafka. */
  readonly queuedBytes: number;
  submit(submission: Submission): Promise<SubmitOutcome>;
  /** From now on `submit` refuses. Sends what waits, and resolves when all is settled, or after `timeoutMs` regardless. */
  close(timeoutMs: number): Promise<void>;
}

/** Header of a record batch (61 bytes) with some to spare. */
const BATCH_OVERHEAD_BYTES = 128;
/** Most bytes of a record's own framing: length, attributes, deltas, lengths of key and value, header count. */
const RECORD_OVERHEAD_BYTES = 32;
const HEADER_OVERHEAD_BYTES = 10;
/** Most bytes of one call over all its lanes. Kafka's `socket.request.max.bytes` is 100 MB. */
const CALL_BYTES = 32 * 1024 * 1024;
/** A call that takes this long makes the lanes part for `APART_MS`. */
const SLOW_CALL_MS = 1_000;
const APART_MS = 60_000;

/** Bytes left for values in a record with these headers. */
export function maxValueBytes(maxMessageBytes: number, headers: Headers): number {
  return maxMessageBytes - BATCH_OVERHEAD_BYTES - recordBytes(0, headers);
}

function recordBytes(valueBytes: number, headers: Headers): number {
  let bytes = valueBytes + RECORD_OVERHEAD_BYTES;
  for (const [name, value] of headers) bytes += name.length + value.length + HEADER_OVERHEAD_BYTES;
  return bytes;
}

type PieceOutcome = SendOutcome | { readonly kind: 'abandoned' };

/** A submission whose outcome is not yet known. */
interface Waiting {
  left: number;
  outcome: PieceOutcome;
  readonly refused: Uint8Array[];
  readonly abandoned: () => boolean;
  readonly resolve: (outcome: SubmitOutcome) => void;
}

interface Piece {
  readonly record: ProducerRecord & { readonly value: Uint8Array };
  readonly bytes: number;
  readonly waiting: Waiting;
  settled: boolean;
}

interface Lane {
  readonly topic: string;
  readonly partition: number;
  /** Most of one batch; a larger record goes alone. */
  readonly batchBytes: number;
  queue: Piece[];
  queueBytes: number;
  inFlight: boolean;
}

export function createBatcher(options: BatcherOptions): Batcher {
  return new LaneBatcher(options);
}

class LaneBatcher implements Batcher {
  queuedBytes = 0;
  private readonly options: BatcherOptions;
  private readonly lanes: Readonly<Record<Signal, readonly Lane[]>>;
  /** The lane that traces go to now. */
  private tracesLane = 0;
  private readonly unsettled = new Set<Piece>();
  /** Lanes with something in their queue. */
  private readonly filled = new Set<Lane>();
  /** Start of each call that has not ended, oldest first. */
  private readonly calls = new Set<{ readonly startedAt: number }>();
  private apartUntil = 0;
  /** When the last call ended. */
  private endedAt = Number.NEGATIVE_INFINITY;
  private timer: NodeJS.Timeout | null = null;
  private immediate: NodeJS.Immediate | null = null;
  private closed = false;
  private onDrained: (() => void) | null = null;

  constructor(options: BatcherOptions) {
    this.options = options;
    const lanes = (signal: Signal) => lanesOf(options.topics[signal], options.batchBytes);
    this.lanes = { traces: lanes('traces'), metrics: lanes('metrics'), logs: lanes('logs') };
  }

  submit({ signal, pieces, headers, orderHash, abandoned = () => false }: Submission): Promise<SubmitOutcome> {
    if (this.closed) return Promise.resolve({ kind: 'closing' });
    if (pieces.length === 0) return Promise.resolve({ kind: 'stored' });
    const bytes = pieces.reduce((sum, piece) => sum + recordBytes(piece.length, headers), 0);
    if (!this.options.budget.hasRoomFor(bytes)) return Promise.resolve({ kind: 'full' });
    const lane = signal === 'traces' ? this.laneForTraces() : this.laneForHash(signal, orderHash);
    return new Promise((resolve) => {
      const waiting: Waiting = { left: pieces.length, outcome: { kind: 'stored' }, refused: [], abandoned, resolve };
      for (const value of pieces) {
        const record = { topic: lane.topic, partition: lane.partition, value, headers };
        this.enqueue(lane, { record, bytes: recordBytes(value.length, headers), waiting, settled: false });
      }
      if (lane.queueBytes >= lane.batchBytes && !lane.inFlight) this.send([lane]);
      else this.wake();
    });
  }

  async close(timeoutMs: number): Promise<void> {
    this.closed = true;
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    this.sendWaiting();
    if (this.unsettled.size > 0) await this.drained(timeoutMs);
    const cause = new Error(`the bridge closed ${timeoutMs} ms after it was asked to, before Kafka had acknowledged`);
    for (const piece of this.unsettled) this.settle(piece, { kind: 'unknown', cause });
  }

  private drained(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timeout = setTimeout(resolve, timeoutMs);
      this.onDrained = () => {
        clearTimeout(timeout);
        resolve();
      };
    });
  }

  private laneForHash(signal: Signal, orderHash: number): Lane {
    const lanes = this.lanes[signal];
    return lanes[orderHash % lanes.length]!;
  }

  private laneForTraces(): Lane {
    const lanes = this.lanes.traces;
    const current = lanes[this.tracesLane]!;
    if (current.queue.length > 0 && !current.inFlight) return current;
    let best = -1;
    for (let step = 1; step <= lanes.length; step++) {
      const index = (this.tracesLane + step) % lanes.length;
      const lane = lanes[index]!;
      if (!lane.inFlight) {
        best = index;
        break;
      }
      if (best < 0 || lane.queueBytes < lanes[best]!.queueBytes) best = index;
    }
    this.tracesLane = best;
    return lanes[best]!;
  }

  private enqueue(lane: Lane, piece: Piece): void {
    if (lane.queue.length === 0) this.filled.add(lane);
    lane.queue.push(piece);
    lane.queueBytes += piece.bytes;
    this.queuedBytes += piece.bytes;
    this.options.budget.hold(piece.bytes);
    this.options.onBacklog(this.queuedBytes, 0);
    this.unsettled.add(piece);
  }

  /** Sends what waits when its time has come. */
  private wake(): void {
    if (this.timer || this.immediate) return;
    const { lingerMs } = this.options;
    const waitMs = this.calls.size > 0 ? lingerMs : this.endedAt + lingerMs - performance.now();
    if (waitMs > 0) {
      this.timer = setTimeout(() => {
        this.timer = null;
        this.sendWaiting();
      }, waitMs);
    } else {
      // Not at once: what has come in the same moment goes with it.
      this.immediate = setImmediate(() => {
        this.immediate = null;
        this.sendWaiting();
      });
    }
  }

  /** Sends every lane that has something to send and may. */
  private sendWaiting(): void {
    const apart = this.lanesArePart();
    let call: Lane[] = [];
    let callBytes = 0;
    for (const lane of this.filled) {
      if (lane.inFlight) continue;
      const bytes = Math.min(lane.queueBytes, Math.max(lane.batchBytes, lane.queue[0]!.bytes));
      if (call.length > 0 && (apart || callBytes + bytes > CALL_BYTES)) {
        this.send(call);
        call = [];
        callBytes = 0;
      }
      call.push(lane);
      callBytes += bytes;
    }
    if (call.length > 0) this.send(call);
  }

  private lanesArePart(): boolean {
    const now = performance.now();
    const [oldest] = this.calls;
    if (oldest && now - oldest.startedAt > SLOW_CALL_MS) this.apartUntil = now + APART_MS;
    return now < this.apartUntil;
  }

  private send(lanes: readonly Lane[]): void {
    const pieces: Piece[] = [];
    for (const lane of lanes) {
      lane.inFlight = true;
      this.takeBatch(lane, pieces);
    }
    if (pieces.length === 0) {
      this.callEnded(lanes);
      return;
    }
    const call = { startedAt: performance.now() };
    this.calls.add(call);
    this.options.producer
      .send(pieces.map((piece) => piece.record))
      .catch((error: unknown): SendOutcome[] => {
        const cause = error instanceof Error ? error : new Error(String(error));
        this.options.onBug(cause);
        return pieces.map(() => ({ kind: 'unknown', cause }));
      })
      .then((outcomes) => {
        this.calls.delete(call);
        this.endedAt = performance.now();
        if (this.endedAt - call.startedAt > SLOW_CALL_MS) this.apartUntil = this.endedAt + APART_MS;
        for (const [index, piece] of pieces.entries()) this.settle(piece, outcomes[index]!);
        this.callEnded(lanes);
      });
  }

  /** Moves up to a batch from the lane's queue to `into`, and drops what nobody waits for any more. */
  private takeBatch(lane: Lane, into: Piece[]): void {
    let taken = 0;
    let bytes = 0;
    for (; taken < lane.queue.length; taken++) {
      const piece = lane.queue[taken]!;
      if (piece.waiting.abandoned()) {
        this.settle(piece, { kind: 'abandoned' });
      } else if (!piece.settled) {
        if (bytes > 0 && bytes + piece.bytes > lane.batchBytes) break;
        bytes += piece.bytes;
        into.push(piece);
      }
      lane.queueBytes -= piece.bytes;
    }
    lane.queue = lane.queue.slice(taken);
    if (lane.queue.length === 0) this.filled.delete(lane);
  }

  private callEnded(lanes: readonly Lane[]): void {
    for (const lane of lanes) lane.inFlight = false;
    const filled = lanes.filter((lane) => lane.queue.length > 0);
    if (this.closed || filled.some((lane) => lane.queueBytes >= lane.batchBytes)) this.sendWaiting();
    else if (filled.length > 0) this.wake();
  }

  private settle(piece: Piece, outcome: PieceOutcome): void {
    if (piece.settled) return;
    piece.settled = true;
    this.unsettled.delete(piece);
    this.queuedBytes -= piece.bytes;
    this.options.budget.release(piece.bytes);
    this.options.onBacklog(this.queuedBytes, outcome.kind === 'stored' ? piece.bytes : 0);
    const { waiting, record } = piece;
    if (outcome.kind === 'refused') waiting.refused.push(record.value);
    if (RANK[outcome.kind] > RANK[waiting.outcome.kind]) waiting.outcome = outcome;
    if (--waiting.left === 0) {
      const { outcome: whole, refused: pieces } = waiting;
      waiting.resolve(whole.kind === 'refused' ? { ...whole, pieces } : whole);
    }
    if (this.unsettled.size === 0) this.onDrained?.();
  }
}

/**
 * Of the outcomes of a submission's pieces the highest stands for all. What is unknown must be sent again, whatever became of the
 * others: a refusal alone would make the exporter drop it.
 */
const RANK: Readonly<Record<PieceOutcome['kind'], number>> = { stored: 0, abandoned: 1, refused: 2, unknown: 3 };

function lanesOf(of: IngestTopic, batchBytes: number): Lane[] {
  return Array.from({ length: of.partitions }, (_, partition) => ({
    topic: of.topic,
    partition,
    get batchBytes() {
      return Math.min(batchBytes, of.maxMessageBytes - BATCH_OVERHEAD_BYTES);
    },
    queue: [],
    queueBytes: 0,
    inFlight: false,
  }));
}
