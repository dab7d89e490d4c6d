/**
 * A member's life in a consumer group, eager: for each generation join -> run the partitions, heartbeat -> on a rebalance
 * abort their signals, wait for them -> join again. Heartbeats are on a timer of their own and go on while polls are worked on and while partitions
 * are being given back.
 */
import type { Logger } from 'pino';
import { pause } from '../../abortable.ts';
import type { AssignedPartition, GroupHandlers, GroupMember, GroupOptions, PartitionReader } from '../port.ts';
import type { ClusterView } from './cluster.ts';
import type { ReaderSource, RecordDriver } from './driver.ts';
import { Fetcher } from './fetcher.ts';
import { GroupSession, type Settled } from './group-session.ts';
import type { Links } from './links.ts';
import { asError, faultOf, isPassing } from './outcomes.ts';
import { sparsely } from './retry.ts';

const DEFAULT_REBALANCE_TIMEOUT_MS = 30_000;
/** How soon a rebalance is noticed; a fifth of the session leaves four more tries. */
const DEFAULT_HEARTBEAT_MS = 1_000;
const TROUBLE_INTERVAL_MS = 5_000;
const FIRST_BACKOFF_MS = 20;
const MAX_BACKOFF_MS = 2_000;
/** How often the leader looks whether topics have come, gone or grown. */
const TOPIC_CHECK_MS = 10_000;
const MISSING_TOPIC_CHECK_MS = 1_000;

type GenerationEnd = 'rebalance' | 'lost' | 'closed' | { readonly failed: Error };

export interface MembershipParts {
  readonly cluster: ClusterView;
  /** Shared connections: for look-ups, and for leaving while a join is pending. */
  readonly links: Links;
  readonly openLinks: () => Links;
  /** Absent: this folder's own. */
  readonly driver?: RecordDriver | undefined;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
}

export class Membership implements GroupMember {
  readonly done: Promise<void>;
  readonly #options: GroupOptions;
  readonly #handlers: GroupHandlers;
  readonly #links: Links;
  readonly #readers: ReaderSource;
  readonly #session: GroupSession;
  readonly #closing = new AbortController();
  readonly #trouble: (cause: Error) => void;
  readonly #rebalanceTimeoutMs: number;
  readonly #heartbeatMs: number;
  #endGeneration: (why: GenerationEnd) => void = () => {};
  readonly #running = new Set<Promise<void>>();

  constructor(options: GroupOptions, handlers: GroupHandlers, parts: MembershipParts) {
    this.#options = options;
    this.#handlers = handlers;
    this.#links = parts.openLinks();
    this.#rebalanceTimeoutMs = options.rebalanceTimeoutMs ?? DEFAULT_REBALANCE_TIMEOUT_MS;
    this.#heartbeatMs = options.heartbeatIntervalMs ?? Math.min(DEFAULT_HEARTBEAT_MS, options.sessionTimeoutMs / 5);
    this.#trouble = sparsely(TROUBLE_INTERVAL_MS, (cause) => {
      parts.log.debug({ err: cause, group: options.groupId }, 'trouble in a consumer group; trying on');
      handlers.onTrouble?.(cause);
    });
    const fetcher = new Fetcher({
      cluster: parts.cluster,
      links: parts.links,
      openLinks: parts.openLinks,
      isolation: options.fetch?.isolation ?? 'read_committed',
      onTrouble: this.#trouble,
      onDenied: (cause) => this.#endGeneration({ failed: cause }),
    });
    this.#readers = parts.driver?.readers(fetcher, { groupId: options.groupId, onTrouble: this.#trouble }) ?? fetcher;
    this.#session = new GroupSession({
      groupId: options.groupId,
      instanceId: options.instanceId ?? null,
      topics: options.topics,
      sessionTimeoutMs: options.sessionTimeoutMs,
      rebalanceTimeoutMs: this.#rebalanceTimeoutMs,
      requestTimeoutMs: parts.requestTimeoutMs,
      cluster: parts.cluster,
      links: this.#links,
      sharedLinks: parts.links,
      log: parts.log,
      onMissingTopic: (topic) => this.#trouble(new Error(`topic ${topic} does not exist (yet)`)),
    });
    this.done = this.#live();
    // Whoever does not wait for `done` still hears of its failure from the next `close()`.
    this.done.catch(() => 'told to whoever awaits done or close');
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.done;
  }

  async #live(): Promise<void> {
    const { signal } = this.#closing;
    try {
      for (let backoffMs = FIRST_BACKOFF_MS; !signal.aborted; ) {
        let settled: Settled | null;
        try {
          settled = await this.#untilClosed(this.#session.join());
          backoffMs = FIRST_BACKOFF_MS;
        } catch (error) {
          if (signal.aborted) break;
          if (!mayTryAgain(error)) throw this.#session.explain(error);
          if (faultOf(error) !== 'rejoin') this.#trouble(asError(error));
          await pause(faultOf(error) === 'rejoin' ? FIRST_BACKOFF_MS : backoffMs, signal);
          backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
          continue;
        }
        if (!settled) break;
        const end = await this.#generationOf(settled);
        if (typeof end === 'object') throw end.failed;
      }
    } finally {
      // Also those that outlived their generation's rebalance timeout.
      await Promise.all(this.#running);
      this.#readers.close();
      await this.#session.leave();
      this.#links.destroy();
    }
  }

  async #generationOf(settled: Settled): Promise<GenerationEnd> {
    const partitions = settled.partitions.map((at) => {
      const abort = new AbortController();
      const reader = this.#readers.reader(at, this.#options.fetch ?? {});
      return {
        reader,
        abort,
        assigned: assignedPartition(reader, settled, abort.signal, async () => {
          const held = await this.#session.confirm(settled, this.#closing.signal);
          // It may be this question alone that found no way to the group: then only a new generation gives an answer.
          if (!held) finish('lost');
          return held;
        }),
      };
    });
    let failed: Error | undefined;
    const { promise: end, resolve: tell } = Promise.withResolvers<GenerationEnd>();
    // At once, so that whoever asked for the end finds the partitions aborted.
    const finish = (why: GenerationEnd) => {
      tell(why);
      for (const { abort, reader } of partitions) {
        abort.abort();
        reader.end();
      }
    };
    this.#endGeneration = finish;
    const onClose = () => finish('closed');
    this.#closing.signal.addEventListener('abort', onClose, { once: true });
    if (this.#closing.signal.aborted) onClose();

    const rest = new AbortController();
    const beating = this.#heartbeats(settled, finish, rest.signal);
    if (settled.counts) void this.#watchTopics(settled.counts, finish, rest.signal);
    const generation = { id: settled.generation, memberId: settled.memberId, partitions: settled.partitions };
    try {
      this.#handlers.onGeneration?.(generation);
    } catch (error) {
      finish({ failed: asError(error) });
    }
    const runs = (this.#closing.signal.aborted ? [] : partitions).map(({ assigned, reader }) => {
      const run = (async () => {
        try {
          await this.#handlers.run(assigned);
        } catch (error) {
          failed ??= asError(error);
          finish({ failed: failed });
        } finally {
          reader.end();
        }
      })();
      this.#running.add(run);
      return run.finally(() => this.#running.delete(run));
    });

    const why = await end;
    const timeout = new AbortController();
    const allEnded = Promise.all(runs).then(() => timeout.abort());
    // Past this the group goes on without them; what they still write is fenced by the next owner's InitProducerId.
    // Closing has no such limit: it holds up nobody but the caller.
    await pause(this.#rebalanceTimeoutMs, AbortSignal.any([timeout.signal, this.#closing.signal]));
    if (this.#closing.signal.aborted) await allEnded;
    rest.abort();
    this.#closing.signal.removeEventListener('abort', onClose);
    // Not for the look at the topics: no heartbeat goes out any more, and a broker may take longer to answer it than a
    // session lasts. It ends by itself, and what it finds no longer matters.
    await beating;
    return failed ? { failed } : why;
  }

  /** Until `signal`. Goes on while partitions are given back: the broker must not take this member for dead. */
  async #heartbeats(settled: Settled, finish: (why: GenerationEnd) => void, signal: AbortSignal): Promise<void> {
    const { sessionTimeoutMs } = this.#options;
    /** When the last answered heartbeat was sent: the broker counts from not before. */
    let lastAnswer = performance.now();
    // By our own clock too: after a long pause of the process the group may have gone on without us, and what
    // works for this generation must stop before the first heartbeat is answered.
    const watchdog = setInterval(
      () => {
        if (performance.now() - lastAnswer > sessionTimeoutMs) finish('lost');
      },
      Math.min(this.#heartbeatMs, 500),
    );
    try {
      for (;;) {
        await pause(this.#heartbeatMs, signal);
        if (signal.aborted) return;
        try {
          const sentAt = performance.now();
          const answer = await this.#session.heartbeat(settled);
          lastAnswer = sentAt;
          if (answer === 'rebalance') finish('rebalance');
        } catch (error) {
          if (faultOf(error) === 'rejoin') {
            finish('lost');
            return;
          }
          if (!mayTryAgain(error)) {
            finish({ failed: this.#session.explain(error) });
            return;
          }
          this.#trouble(asError(error));
        }
      }
    } finally {
      clearInterval(watchdog);
    }
  }

  /** Until `signal`, or a change. Never rejects. */
  async #watchTopics(
    counts: ReadonlyMap<string, number>,
    finish: (why: GenerationEnd) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const ours = this.#options.topics.map((topic) => counts.get(topic) ?? 0);
    const missing = [...counts.values(), ...ours].some((count) => count === 0);
    for (;;) {
      await pause(missing ? MISSING_TOPIC_CHECK_MS : TOPIC_CHECK_MS, signal);
      if (signal.aborted) return;
      try {
        if (await this.#session.topicsChanged(counts)) {
          finish('rebalance');
          return;
        }
      } catch (error) {
        if (!signal.aborted) this.#trouble(asError(error));
      }
    }
  }

  /** The result, or null once this member is being closed: a pending join is left behind with its connection. */
  async #untilClosed<T>(work: Promise<T>): Promise<T | null> {
    const { signal } = this.#closing;
    let onAbort = () => {};
    const closed = new Promise<null>((resolve) => {
      onAbort = () => resolve(null);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
    try {
      return await Promise.race([work, closed]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}

const mayTryAgain = (error: unknown) => isPassing(error) || faultOf(error) === 'rejoin';

function assignedPartition(
  reader: PartitionReader,
  settled: Settled,
  signal: AbortSignal,
  confirm: () => Promise<boolean>,
): AssignedPartition {
  return {
    topic: reader.topic,
    partition: reader.partition,
    generation: settled.generation,
    memberId: settled.memberId,
    instanceId: settled.instanceId,
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
