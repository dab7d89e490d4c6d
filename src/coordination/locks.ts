/**
 * Locks on anything that has a name. The leader grants them in the order of the log; the offset of the grant is the fencing token. A holder that was
 * paused may believe in its lock for longer than it has it, so `lost` is only a hint: what protects is the token. What is asked of the leader
 * under it (`askLeader`, `fence`) is refused once it is not the resource's latest.
 */
import { WeirError } from '../errors.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import type { ControlLogFollower } from './control-log.ts';
import { askLeader, type LockWish } from './requests.ts';

/** By what one asks. */
export interface Asker {
  readonly port: KafkaPort;
  readonly names: Pick<Names, 'requests'>;
  readonly log: ControlLogFollower;
  /** Who asks. */
  readonly member: string;
}

export interface LockOptions {
  /** Without a renewal it is over after this. */
  readonly ttlMs: number;
  /** In line, behind those that asked before. Default 0: refused when it is held. */
  readonly waitMs?: number | undefined;
  /** Aborted: the request is cancelled. */
  readonly signal?: AbortSignal | undefined;
}

export interface Lock {
  readonly resource: string;
  readonly token: number;
  /** Aborted once the log says that it is over, or was not renewed within its time by our own clock. */
  readonly lost: AbortSignal;
  /** For `ttlMs` from now on. false: it was over. Throws REQUEST_UNANSWERED. */
  renew(): Promise<boolean>;
  /** false: it was over. Throws REQUEST_UNANSWERED; the lock ends by itself then. */
  release(): Promise<boolean>;
}

export type LockOutcome =
  | { readonly kind: 'granted'; readonly lock: Lock }
  /** Held by another, not free in time, or cancelled. */
  | { readonly kind: 'refused'; readonly why: string };

/** Throws REQUEST_UNANSWERED when no leader answers. */
export async function acquireLock(
  asker: Asker,
  resource: string,
  { ttlMs, waitMs = 0, signal }: LockOptions,
): Promise<LockOutcome> {
  const acquire: LockWish = { kind: 'acquire', resource, ttlMs, wait: waitMs > 0 };
  const asked = await askUnderLock(asker, acquire, { signal, ...(waitMs > 0 && { timeoutMs: waitMs }) });
  if (asked.kind === 'refused') return asked;
  const held = asker.log.state.locks.get(resource);
  if (held?.requestId !== asked.id) return { kind: 'refused', why: `${resource} was granted, but is over already` };
  return { kind: 'granted', lock: hold(asker, resource, held.token, ttlMs) };
}

function hold(asker: Asker, resource: string, token: number, ttlMs: number): Lock {
  const lost = new AbortController();
  const end = (why: string) => {
    clearTimeout(timer);
    stopWatching();
    lost.abort(new Error(`the lock on ${resource} (token ${token}) is over: ${why}`));
  };
  const expire = () => end('it was not renewed in time');
  let timer = setTimeout(expire, ttlMs);
  const stopWatching = asker.log.onChange(({ locks }) => {
    if (locks.get(resource)?.token !== token) end('the leader has ended it');
  });
  return {
    resource,
    token,
    lost: lost.signal,
    async renew() {
      const askedAt = performance.now();
      const { kind } = await askUnderLock(asker, { kind: 'renew', resource, token });
      if (kind === 'refused') end('the leader has ended it');
      if (lost.signal.aborted) return false;
      clearTimeout(timer);
      timer = setTimeout(expire, Math.max(0, ttlMs - (performance.now() - askedAt)));
      return true;
    },
    async release() {
      const { kind } = await askUnderLock(asker, { kind: 'release', resource, token });
      end('it was released');
      return kind === 'accepted';
    },
  };
}

/** A refusal is an outcome here. Throws REQUEST_UNANSWERED. */
export async function askUnderLock(
  { port, names, log, member }: Asker,
  wish: LockWish,
  options: { signal?: AbortSignal | undefined; timeoutMs?: number } = {},
): Promise<{ readonly kind: 'accepted'; readonly id: string } | { readonly kind: 'refused'; readonly why: string }> {
  try {
    const { id } = await askLeader(port, names, log, wish, { member, ...options });
    return { kind: 'accepted', id };
  } catch (error) {
    if (error instanceof WeirError && error.code === 'REQUEST_REFUSED') return { kind: 'refused', why: error.message };
    throw error;
  }
}
