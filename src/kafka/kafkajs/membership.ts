/** A member of a consumer group, with eager rebalancing: join -> live one generation -> join again, until it is closed. */
import type { Logger } from 'pino';
import { abortable, pause } from '../../abortable.ts';
import type { GroupHandlers, GroupMember, GroupOptions } from '../port.ts';
import type { ClusterView } from './cluster.ts';
import type { ReaderSource, RecordDriver } from './driver.ts';
import { Fetcher } from './fetcher.ts';
import { Generation, type GenerationParts } from './generation.ts';
import { GroupSession } from './group-session.ts';
import type { Links } from './links.ts';
import { asError, faultOf, mayRejoin } from './outcomes.ts';
import { sparsely } from './retry.ts';

const DEFAULT_REBALANCE_TIMEOUT_MS = 30_000;
/** How soon a rebalance is noticed; a fifth of the session leaves four more tries. */
const DEFAULT_HEARTBEAT_MS = 1_000;
const TROUBLE_INTERVAL_MS = 5_000;
const FIRST_BACKOFF_MS = 20;
const MAX_BACKOFF_MS = 2_000;

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
  readonly #links: Links;
  readonly #readers: ReaderSource;
  readonly #session: GroupSession;
  readonly #parts: GenerationParts;
  readonly #closing = new AbortController();
  readonly #trouble: (cause: Error) => void;
  #generation: Generation | undefined;
  /** Also those that outlived their generation's rebalance timeout. */
  readonly #running = new Set<Promise<void>>();

  constructor(options: GroupOptions, handlers: GroupHandlers, parts: MembershipParts) {
    const { groupId, sessionTimeoutMs, rebalanceTimeoutMs = DEFAULT_REBALANCE_TIMEOUT_MS } = options;
    this.#links = parts.openLinks();
    this.#trouble = sparsely(TROUBLE_INTERVAL_MS, (cause) => {
      parts.log.debug({ err: cause, group: groupId }, 'trouble in a consumer group; trying on');
      handlers.onTrouble?.(cause);
    });
    const fetcher = new Fetcher({
      cluster: parts.cluster,
      links: parts.links,
      openLinks: parts.openLinks,
      isolation: options.fetch?.isolation ?? 'read_committed',
      onTrouble: this.#trouble,
      onDenied: (cause) => this.#generation?.end({ failed: cause }),
    });
    this.#readers = parts.driver?.readers(fetcher, { groupId, onTrouble: this.#trouble }) ?? fetcher;
    this.#session = new GroupSession({
      groupId,
      instanceId: options.instanceId ?? null,
      topics: options.topics,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      requestTimeoutMs: parts.requestTimeoutMs,
      cluster: parts.cluster,
      links: this.#links,
      sharedLinks: parts.links,
      log: parts.log,
      onMissingTopic: (topic) => this.#trouble(new Error(`topic ${topic} does not exist (yet)`)),
    });
    this.#parts = {
      options,
      run: (partition) => this.#tracked(handlers.run(partition)),
      onGeneration: (generation) => handlers.onGeneration?.(generation),
      rebalanceTimeoutMs,
      heartbeatMs: options.heartbeatIntervalMs ?? Math.min(DEFAULT_HEARTBEAT_MS, sessionTimeoutMs / 5),
      session: this.#session,
      readers: this.#readers,
      closing: this.#closing.signal,
      onTrouble: this.#trouble,
    };
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
        try {
          // Closing leaves a pending join behind, with its connection.
          const settled = await abortable(this.#session.join(), signal);
          this.#generation = new Generation(settled, this.#parts);
          backoffMs = FIRST_BACKOFF_MS;
        } catch (error) {
          if (signal.aborted) break;
          if (!mayRejoin(error)) throw this.#session.explain(error);
          if (faultOf(error) !== 'rejoin') this.#trouble(asError(error));
          await pause(faultOf(error) === 'rejoin' ? FIRST_BACKOFF_MS : backoffMs, signal);
          backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
          continue;
        }
        const end = await this.#generation.live();
        if (typeof end === 'object') throw end.failed;
      }
    } finally {
      await Promise.allSettled(this.#running);
      this.#readers.close();
      await this.#session.leave();
      this.#links.destroy();
    }
  }

  #tracked(run: Promise<void>): Promise<void> {
    this.#running.add(run);
    return run.finally(() => this.#running.delete(run));
  }
}
