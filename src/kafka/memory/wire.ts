/**
 * The way from one client to the in-process broker. Nothing travels, but everything can go wrong here that goes wrong on a
 * network: an intercept delays a request, or loses it or its reply.
 */
import type { TopicPartition } from '../port.ts';
import { BrokerError } from './broker-errors.ts';
import type { Clock } from './clock.ts';

export type RequestName =
  | 'Metadata'
  | 'CreateTopics'
  | 'DeleteTopics'
  | 'ListOffsets'
  | 'OffsetFetch'
  | 'Fetch'
  | 'Produce'
  | 'InitProducerId'
  | 'AddPartitionsToTxn'
  | 'AddOffsetsToTxn'
  | 'TxnOffsetCommit'
  | 'EndTxn'
  | 'JoinGroup'
  | 'Heartbeat'
  | 'LeaveGroup';

export interface Request {
  readonly name: RequestName;
  /** Sent by a transactional sink. */
  readonly transactional: boolean;
  /** What a Fetch or a Produce is for; null for others. */
  readonly at: TopicPartition | null;
}

/** `lose-reply`: the broker has done what was asked, and the client does not hear of it. */
export type Fate = 'deliver' | 'lose-request' | 'lose-reply';

/** Decides on each request; a promise delays it. */
export type Intercept = (request: Request) => Fate | Promise<Fate>;

/** Asked once the broker has done what was asked; a promise delays the reply. */
export type HoldReply = (request: Request) => void | Promise<void>;

export class Wire {
  readonly #turn: Clock['turn'];
  readonly #intercept: Intercept | undefined;
  readonly #holdReply: HoldReply | undefined;
  readonly #closing = new AbortController();

  constructor({ turn }: Pick<Clock, 'turn'>, intercept?: Intercept, holdReply?: HoldReply) {
    this.#turn = turn;
    this.#intercept = intercept;
    this.#holdReply = holdReply;
  }

  /** Aborted when the client is closed. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  close(): void {
    this.#closing.abort();
  }

  async request<T>(
    name: RequestName,
    serve: () => T | Promise<T>,
    { transactional = false, at = null }: Partial<Omit<Request, 'name'>> = {},
  ): Promise<T> {
    this.#assertOpen(name);
    await this.#turn();
    const request: Request = { name, transactional, at };
    const fate = await this.#fateOf(request);
    this.#assertOpen(name);
    if (fate === 'lose-request') throw new BrokerError('NETWORK_EXCEPTION', `the ${name} request was lost`);
    const reply = await serve();
    if (this.#holdReply) await this.#holdReply(request);
    this.#assertOpen(name);
    if (fate === 'lose-reply') throw new BrokerError('NETWORK_EXCEPTION', `the reply to ${name} was lost`);
    return reply;
  }

  /** A client that is closed does not wait for a request that is held up. */
  async #fateOf(request: Request): Promise<Fate> {
    const fate = this.#intercept?.(request) ?? 'deliver';
    if (typeof fate === 'string') return fate;
    const closed = Promise.withResolvers<Fate>();
    const close = () => closed.resolve('lose-request');
    this.closed.addEventListener('abort', close);
    try {
      return await Promise.race([fate, closed.promise]);
    } finally {
      this.closed.removeEventListener('abort', close);
    }
  }

  #assertOpen(name: RequestName): void {
    if (this.closed.aborted) throw new BrokerError('CLIENT_CLOSED', `the client was closed during ${name}`);
  }
}
