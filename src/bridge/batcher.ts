/**
 * Gathers requests into produce calls, through one lane for each ingest partition.
 *
 * - Traces fill one lane until its batch goes, then the next free one: their items are routed one by one later on, so any
 *   partition will do. Metrics and logs go to the lane of their order hash, so that one exporter's requests stay in order.
 * - A batch goes `lingerMs` after its first record, or at `batchBytes`. It goes at once where no call has been under way for
 *   `lingerMs`: then there is nothing to gather with.
 * - All lanes that wait share one call, as long as Kafka is quick. Once a call has been slow, each lane has calls of its own
 *   for a while: then a partition without a leader holds up only itself.
 * - All that is accepted and not yet acknowledged is held against the bridge's byte budget; above that `submit` refuses.
 */
import type { Headers, Producer, SendOutcome } from '../kafka/port.ts';
import { bySignal, type Signal } from '../signals.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { IngestTopic } from './ingest-topics.ts';
import { Lane, type QueuedRecord } from './lane.ts';
import { recordBytes } from './record-bytes.ts';

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
  | (Extract<SendOutcome, { kind: 'refused' }> & { readonly pieces: readonly Uint8Array[] })
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
  /** `backlogBytes` wait for Kafka now, which has just taken `takenBytes`. */
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

/** Most bytes of one call over all its lanes. Kafka's `socket.request.max.bytes` is 100 MB. */
const CALL_BYTES = 32 * 1024 * 1024;
/** A call that takes this long makes the lanes part for `APART_MS`. */
const SLOW_CALL_MS = 1_000;
const APART_MS = 60_000;

type PieceOutcome = SendOutcome | { readonly kind: 'abandoned' };

/** A submission whose outcome is not yet known. */
interface Pending {
  /** Pieces whose outcome is not. */
  left: number;
  outcome: PieceOutcome;
  readonly refused: Uint8Array[];
  readonly abandoned: () => boolean;
  readonly resolve: (outcome: SubmitOutcome) => void;
}

interface Piece extends QueuedRecord {
  readonly of: Pending;
  settled: boolean;
}

export function createBatcher(options: BatcherOptions): Batcher {
  return new LaneBatcher(options);
}

class LaneBatcher implements Batcher {
  readonly #options: BatcherOptions;
  readonly #lanes: Readonly<Record<Signal, ReadonlyArray<Lane<Piece>>>>;
  /** The lane that traces go to now. */
  #tracesLane = 0;
  readonly #unsettled = new Set<Piece>();
  #queuedBytes = 0;
  /** Lanes that are not empty. */
  readonly #filled = new Set<Lane<Piece>>();
  /** Start of each call that has not ended, oldest first. */
  readonly #calls = new Set<{ readonly startedAt: number }>();
  #apartUntil = 0;
  /** When the last call ended. */
  #endedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #closed = false;
  #onDrained: (() => void) | null = null;

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#lanes = bySignal((signal) => {
      const of = options.topics[signal];
      return Array.from({ length: of.partitions }, (_, partition) => new Lane(of, partition, options.batchBytes));
    });
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  submit({ signal, pieces, headers, orderHash, abandoned = () => false }: Submission): Promise<SubmitOutcome> {
    if (this.#closed) return Promise.resolve({ kind: 'closing' });
    if (pieces.length === 0) return Promise.resolve({ kind: 'stored' });
    const bytes = pieces.reduce((sum, piece) => sum + recordBytes(piece.length, headers), 0);
    if (!this.#options.budget.hasRoomFor(bytes)) return Promise.resolve({ kind: 'full' });
    const lane = signal === 'traces' ? this.#laneForTraces() : this.#laneForHash(signal, orderHash);
    return new Promise((resolve) => {
      const of: Pending = { left: pieces.length, outcome: { kind: 'stored' }, refused: [], abandoned, resolve };
      for (const value of pieces) {
        const record = { topic: lane.topic, partition: lane.partition, value, headers };
        this.#enqueue(lane, { record, bytes: recordBytes(value.length, headers), of, settled: false });
      }
      if (lane.isFull && !lane.inFlight) this.#send([lane]);
      else this.#wake();
    });
  }

  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#sendWaiting();
    if (this.#unsettled.size > 0) await this.#drained(timeoutMs);
    const cause = new Error(`the bridge closed ${timeoutMs} ms after it was asked to, before Kafka had acknowledged`);
    for (const piece of this.#unsettled) this.#settle(piece, { kind: 'unknown', cause });
  }

  #drained(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timeout = setTimeout(resolve, timeoutMs);
      this.#onDrained = () => {
        clearTimeout(timeout);
        resolve();
      };
    });
  }

  #laneForHash(signal: Signal, orderHash: number): Lane<Piece> {
    const lanes = this.#lanes[signal];
    return lanes[orderHash % lanes.length]!;
  }

  #laneForTraces(): Lane<Piece> {
    const lanes = this.#lanes.traces;
    const current = lanes[this.#tracesLane]!;
    if (!current.isEmpty && !current.inFlight) return current;
    let best = -1;
    for (let step = 1; step <= lanes.length; step++) {
      const index = (this.#tracesLane + step) % lanes.length;
      const lane = lanes[index]!;
      if (!lane.inFlight) {
        best = index;
        break;
      }
      if (best < 0 || lane.queuedBytes < lanes[best]!.queuedBytes) best = index;
    }
    this.#tracesLane = best;
    return lanes[best]!;
  }

  #enqueue(lane: Lane<Piece>, piece: Piece): void {
    this.#filled.add(lane);
    lane.push(piece);
    this.#unsettled.add(piece);
    this.#queuedBytes += piece.bytes;
    this.#options.budget.hold(piece.bytes);
    this.#options.onBacklog(this.#queuedBytes, 0);
  }

  /** Sends what waits when its time has come. */
  #wake(): void {
    if (this.#timer || this.#immediate) return;
    const { lingerMs } = this.#options;
    const waitMs = this.#calls.size > 0 ? lingerMs : this.#endedAt + lingerMs - performance.now();
    if (waitMs > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#sendWaiting();
      }, waitMs);
    } else {
      // Not at once: what has come in the same moment goes with it.
      this.#immediate = setImmediate(() => {
        this.#immediate = null;
        this.#sendWaiting();
      });
    }
  }

  /** Sends every lane that has something to send and may. */
  #sendWaiting(): void {
    const apart = this.#lanesArePart();
    let call: Lane<Piece>[] = [];
    let callBytes = 0;
    for (const lane of this.#filled) {
      if (lane.inFlight) continue;
      const bytes = lane.nextBatchBytes;
      if (call.length > 0 && (apart || callBytes + bytes > CALL_BYTES)) {
        this.#send(call);
        call = [];
        callBytes = 0;
      }
      call.push(lane);
      callBytes += bytes;
    }
    if (call.length > 0) this.#send(call);
  }

  #lanesArePart(): boolean {
    const now = performance.now();
    const [oldest] = this.#calls;
    if (oldest && now - oldest.startedAt > SLOW_CALL_MS) this.#apartUntil = now + APART_MS;
    return now < this.#apartUntil;
  }

  #send(lanes: ReadonlyArray<Lane<Piece>>): void {
    const pieces = lanes.flatMap((lane) => this.#takeBatch(lane));
    if (pieces.length === 0) {
      this.#callEnded(lanes);
      return;
    }
    const call = { startedAt: performance.now() };
    this.#calls.add(call);
    this.#options.producer
      .send(pieces.map((piece) => piece.record))
      .catch((error: unknown): SendOutcome[] => {
        const cause = error instanceof Error ? error : new Error(String(error));
        this.#options.onBug(cause);
        return pieces.map(() => ({ kind: 'unknown', cause }));
      })
      .then((outcomes) => {
        this.#calls.delete(call);
        this.#endedAt = performance.now();
        if (this.#endedAt - call.startedAt > SLOW_CALL_MS) this.#apartUntil = this.#endedAt + APART_MS;
        for (const [index, piece] of pieces.entries()) this.#settle(piece, outcomes[index]!);
        this.#callEnded(lanes);
      });
  }

  /** Without what nobody waits for any more. */
  #takeBatch(lane: Lane<Piece>): Piece[] {
    lane.inFlight = true;
    const batch = lane.takeBatch((piece) => {
      if (piece.of.abandoned()) this.#settle(piece, { kind: 'abandoned' });
      return !piece.settled;
    });
    if (lane.isEmpty) this.#filled.delete(lane);
    return batch;
  }

  #callEnded(lanes: ReadonlyArray<Lane<Piece>>): void {
    for (const lane of lanes) lane.inFlight = false;
    const filled = lanes.filter((lane) => !lane.isEmpty);
    if (this.#closed || filled.some((lane) => lane.isFull)) this.#sendWaiting();
    else if (filled.length > 0) this.#wake();
  }

  #settle(piece: Piece, outcome: PieceOutcome): void {
    if (piece.settled) return;
    piece.settled = true;
    this.#unsettled.delete(piece);
    this.#queuedBytes -= piece.bytes;
    this.#options.budget.release(piece.bytes);
    this.#options.onBacklog(this.#queuedBytes, outcome.kind === 'stored' ? piece.bytes : 0);
    const { of, record } = piece;
    if (outcome.kind === 'refused') of.refused.push(record.value);
    if (RANK[outcome.kind] > RANK[of.outcome.kind]) of.outcome = outcome;
    if (--of.left === 0) {
      const { outcome: whole, refused: pieces } = of;
      of.resolve(whole.kind === 'refused' ? { ...whole, pieces } : whole);
    }
    if (this.#unsettled.size === 0) this.#onDrained?.();
  }
}

/**
 * Of the outcomes of a submission's pieces the highest stands for all. What is unknown must be sent again, whatever became
 * of the others: a refusal alone would make the exporter drop it.
 */
const RANK: Readonly<Record<PieceOutcome['kind'], number>> = { stored: 0, abandoned: 1, refused: 2, unknown: 3 };
