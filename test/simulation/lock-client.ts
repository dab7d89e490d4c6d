/**
 * A member that works under locks: it takes them, runs operations, asks the leader under their tokens, and now and then goes on with a lock that it has
 * long lost, as a process does that was paused. What it is refused is as it should be; the audit sees what the leader has accepted.
 */
import { pause } from '../../src/abortable.ts';
import { followControlLog } from '../../src/coordination/control-log.ts';
import { type Asker, acquireLock } from '../../src/coordination/locks.ts';
import { coordinate } from '../../src/coordination/operations.ts';
import { askLeader, type Request } from '../../src/coordination/requests.ts';
import { WeirError } from '../../src/errors.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import type { SeededRandom } from '../../src/loadgen/seeded-random.ts';
import type { Names } from '../../src/names.ts';

const RESOURCES = ['left', 'right'] as const;
const TTL_MS = 1_500;

export interface LockClientOptions {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly member: string;
  readonly random: SeededRandom;
  /** Between two pieces of work, at the longest. */
  readonly everyMs: number;
  /** Aborted: it takes no more locks. */
  readonly until: AbortSignal;
}

export async function startLockClient(
  options: LockClientOptions,
): Promise<{ readonly done: Promise<void>; close(): Promise<void> }> {
  const { port, names, member, random, everyMs, until } = options;
  const log = await followControlLog(port, names);
  const asker: Asker = { port, names, log, member };
  const closing = new AbortController();
  const ending = AbortSignal.any([closing.signal, until]);
  const live = async () => {
    while (!ending.aborted) {
      await pause(random.integer(200, everyMs), ending);
      if (ending.aborted) return;
      const work = random.chance(0.5) ? operate : hold;
      await work(asker, random).catch(unlessUnanswered);
    }
  };
  const living = live();
  const done = Promise.race([living, log.done]);
  done.catch(() => {});
  return {
    done: done.then(() => {}),
    async close() {
      closing.abort();
      await living.catch(() => {});
      await log.close();
    },
  };
}

async function operate(asker: Asker, random: SeededRandom): Promise<void> {
  await coordinate(asker, {
    resource: random.pick(RESOURCES),
    ttlMs: TTL_MS,
    waitMs: random.pick([0, 3_000]),
    timeoutMs: 3_000,
    propose: async () =>
      random.chance(0.1) ? { kind: 'refused', why: 'by chance' } : { kind: 'proposed', proposal: null, what: 'work' },
    async execute(_, { fence }) {
      // Looks at no signal: it believes in its lock.
      await pause(random.integer(0, 2_500));
      if (random.chance(0.2)) throw new Error('by chance');
      await askUnder(asker, fence, random);
    },
  });
}

async function hold(asker: Asker, random: SeededRandom): Promise<void> {
  const resource = random.pick(RESOURCES);
  const asked = await acquireLock(asker, resource, { ttlMs: TTL_MS, waitMs: random.pick([0, 3_000]) });
  if (asked.kind === 'refused') return;
  const { lock } = asked;
  await pause(random.integer(0, TTL_MS));
  if (random.chance(0.5)) await lock.renew();
  await pause(random.integer(0, 2 * TTL_MS));
  await askUnder(asker, { resource, token: lock.token }, random);
  // Else its time runs out.
  if (random.chance(0.6)) await lock.release();
}

async function askUnder(
  { port, names, log, member }: Asker,
  fence: NonNullable<Request['fence']>,
  random: SeededRandom,
): Promise<void> {
  const shards = log.state.ring?.signals.traces.shards.map(({ name }) => name) ?? [];
  if (shards.length === 0) return;
  const wish = {
    kind: 'move',
    from: random.pick(shards),
    to: random.pick(shards),
    slots: random.integer(1, 400),
  } as const;
  await askLeader(port, names, log, wish, { member, fence, timeoutMs: 2_000, graceMs: 1_000 }).catch(
    (error: unknown) => {
      if (!(error instanceof WeirError && error.code === 'REQUEST_REFUSED')) throw error;
    },
  );
}

function unlessUnanswered(error: unknown): void {
  if (!(error instanceof WeirError && error.code === 'REQUEST_UNANSWERED')) throw error;
}
