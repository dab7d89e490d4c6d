/**
 * One generation of a consumer group, as one member lives it: its partitions run until the group rebalances, this member has
 * lost its place or is closed; then their signals are aborted and their `run` is waited for. Heartbeats go on meanwhile, on a
 * timer of their own, so that neither long polls nor a slow hand-over make the broker take this member for dead.
 */
import { pause } from '../../abortable.ts';
import type { AssignedPartition, GroupHandlers, GroupOptions, PartitionReader } from '../port.ts';
import type { EndableReader, ReaderSource } from './driver.ts';
import type { GroupSession, Settled } from './group-session.ts';
import { asError, faultOf, mayRejoin } from './outcomes.ts';

/** How often topics are checked for having come, gone or grown. */
const TOPIC_CHECK_MS = 10_000;
const MISSING_TOPIC_CHECK_MS = 1_000;
const WATCHDOG_MS = 500;

export type GenerationEnd = 'rebalance' | 'lost' | 'closed' | { readonly failed: Error };

export interface GenerationParts {
  readonly options: GroupOptions;
  readonly run: GroupHandlers['run'];
  readonly onGeneration: NonNullable<GroupHandlers['onGeneration']>;
  readonly rebalanceTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly session: GroupSession;
  readonly readers: ReaderSource;
  /** Aborted when the member is closed. */
  readonly closing: AbortSignal;
  readonly onTrouble: (cause: Error) => void;
}

export class Generation {
  readonly #settled: Settled;
  readonly #parts: GenerationParts;
  readonly #partitions: ReadonlyArray<{ reader: EndableReader; abort: AbortController; assigned: AssignedPartition }>;
  readonly #ended = Promise.withResolvers<GenerationEnd>();
  /** What a partition's `run` rejected with; it may do so after the end. */
  #failed: Error | undefined;

  constructor(settled: Settled, parts: GenerationParts) {
    this.#settled = settled;
    this.#parts = parts;
    this.#partitions = settled.partitions.map((at) => {
      const abort = new AbortController();
      const reader = parts.readers.reader(at, parts.options.fetch ?? {});
      return { reader, abort, assigned: assignedPartition(reader, settled, abort.signal, () => this.#confirm()) };
    });
  }

  /** The first call says why. All partitions are aborted by the time it returns. */
  end(why: GenerationEnd): void {
    this.#ended.resolve(why);
    for (const { abort, reader } of this.#partitions) {
      abort.abort();
      reader.end();
    }
  }

  /** Resolves when it has ended and all partitions are given back, or the rebalance timeout is over. */
  async live(): Promise<GenerationEnd> {
    const { closing, rebalanceTimeoutMs } = this.#parts;
    const onClose = () => this.end('closed');
    closing.addEventListener('abort', onClose, { once: true });
    if (closing.aborted) onClose();
    const over = new AbortController();
    const beating = this.#heartbeat(over.signal);
    void this.#watchTopics(over.signal);
    const runs = this.#runPartitions();

    const why = await this.#ended.promise;
    const allEnded = new AbortController();
    const ending = Promise.all(runs).then(() => allEnded.abort());
    // Past this the group goes on without them; what they still write is fenced by the next owner's InitProducerId.
    // Closing has no such limit: it holds up nobody but the caller.
    await pause(rebalanceTimeoutMs, AbortSignal.any([allEnded.signal, closing]));
    if (closing.aborted) await ending;
    over.abort();
    closing.removeEventListener('abort', onClose);
    // Not for the look at the topics: no heartbeat goes out any more, and a broker may take longer to answer it than a
    // session lasts. It ends by itself, and what it finds no longer matters.
    await beating;
    return this.#failed ? { failed: this.#failed } : why;
  }

  #runPartitions(): Array<Promise<void>> {
    const { closing, run, onGeneration } = this.#parts;
    const { generation: id, memberId, partitions } = this.#settled;
    try {
      onGeneration({ id, memberId, partitions });
    } catch (error) {
      this.end({ failed: asError(error) });
    }
    if (closing.aborted) return [];
    return this.#partitions.map(async ({ assigned, reader }) => {
      try {
        await run(assigned);
      } catch (error) {
        this.#failed ??= asError(error);
        this.end({ failed: this.#failed });
      } finally {
        reader.end();
      }
    });
  }

  async #confirm(): Promise<boolean> {
    const held = await this.#parts.session.confirm(this.#settled, this.#parts.closing);
    // It may be this question alone that found no way to the group: then only a new generation gives an answer.
    if (!held) this.end('lost');
    return held;
  }

  /** Until `over`. Never rejects. */
  async #heartbeat(over: AbortSignal): Promise<void> {
    const { heartbeatMs, session, onTrouble } = this.#parts;
    const { sessionTimeoutMs } = this.#parts.options;
    /** When the last answered heartbeat was sent: the broker counts from not before. */
    let answeredSince = performance.now();
    // By our own clock too: after a long pause of the process the group may have gone on without us, and what
    // works for this generation must stop before the first heartbeat is answered.
    const watchdog = setInterval(
      () => {
        if (performance.now() - answeredSince > sessionTimeoutMs) this.end('lost');
      },
      Math.min(heartbeatMs, WATCHDOG_MS),
    );
    try {
      for (;;) {
        await pause(heartbeatMs, over);
        if (over.aborted) return;
        try {
          const sentAt = performance.now();
          const answer = await session.heartbeat(this.#settled);
          answeredSince = sentAt;
          if (answer === 'rebalance') this.end('rebalance');
        } catch (error) {
          if (faultOf(error) === 'rejoin') {
            this.end('lost');
            return;
          }
          if (!mayRejoin(error)) {
            this.end({ failed: session.explain(error) });
            return;
          }
          onTrouble(asError(error));
        }
      }
    } finally {
      clearInterval(watchdog);
    }
  }

  /** Until `over`, or a change. Never rejects. */
  async #watchTopics(over: AbortSignal): Promise<void> {
    const { counts } = this.#settled;
    if (!counts) return;
    const { options, session, onTrouble } = this.#parts;
    const ours = options.topics.map((topic) => counts.get(topic) ?? 0);
    const missing = [...counts.values(), ...ours].some((count) => count === 0);
    for (;;) {
      await pause(missing ? MISSING_TOPIC_CHECK_MS : TOPIC_CHECK_MS, over);
      if (over.aborted) return;
      try {
        if (await session.topicsChanged(counts)) {
          this.end('rebalance');
          return;
        }
      } catch (error) {
        if (!over.aborted) onTrouble(asError(error));
      }
    }
  }
}

function assignedPartition(
  reader: PartitionReader,
  { generation, memberId, instanceId }: Settled,
  signal: AbortSignal,
  confirm: () => Promise<boolean>,
): AssignedPartition {
  return {
    topic: reader.topic,
    partition: reader.partition,
    generation,
    memberId,
    instanceId,
    signal,
    confirm,
    get position() {
      return reader.position;
    },
    seek: (to) => reader.seek(to),
    poll: (maxWaitMs) => reader.poll(maxWaitMs),
    pause: () => reader.pause(),
    resume: () => reader.resume(),
  };
}
