/** Locks as members take them, from a real leader on the in-process log. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { acquireLock, type Lock, type LockOptions } from '../../src/coordination/locks.ts';
import { askLeader } from '../../src/coordination/requests.ts';
import { type LeaderRig, startLeader } from './leader-rig.ts';

let rig: LeaderRig;
beforeEach(async () => {
  rig = await startLeader('k.');
});
afterEach(() => rig.close());

const take = (member: string, options: LockOptions) => acquireLock(rig.asker(member), 'maps', options);
async function granted(member: string, options: LockOptions): Promise<Lock> {
  const outcome = await take(member, options);
  if (outcome.kind === 'refused') throw new Error(outcome.why);
  return outcome.lock;
}
const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

it('are held by one at a time, under a token that the log has', async () => {
  const first = await granted('a', { ttlMs: 60_000 });
  expect(rig.log.state.locks.get('maps')).toMatchObject({ holder: 'a', token: first.token });
  expect(await take('b', { ttlMs: 60_000 })).toEqual({ kind: 'refused', why: 'a holds maps' });
  const waiting = take('b', { ttlMs: 60_000, waitMs: 60_000 });
  await rig.log.waitFor((state) => state.waiting.length === 1);
  expect(await first.renew()).toBe(true);
  expect(await first.release()).toBe(true);
  expect(first.lost.aborted).toBe(true);
  const second = await waiting;
  expect(second).toMatchObject({ kind: 'granted', lock: { resource: 'maps' } });
  if (second.kind === 'granted') expect(second.lock.token).toBeGreaterThan(first.token);
});

it('are lost when they are not renewed, and what is asked under the old token is refused', async () => {
  const first = await granted('a', { ttlMs: 1_000 });
  const next = granted('b', { ttlMs: 60_000, waitMs: 60_000 });
  await rig.log.waitFor((state) => state.waiting.length === 1);
  rig.clock.nowMs += 1_000;
  const second = await next;
  await aborted(first.lost);
  expect(await first.renew()).toBe(false);
  expect(await first.release()).toBe(false);
  const split = ({ resource, token }: Lock) =>
    askLeader(
      rig.port,
      rig.names,
      rig.log,
      { kind: 'split', shard: 'traces-0000' },
      { member: 'm', fence: { resource, token } },
    );
  await expect(split(first)).rejects.toMatchObject({
    code: 'REQUEST_REFUSED',
    message: `token ${first.token} of maps is not valid any more: the latest is ${second.token}`,
  });
  expect(rig.log.state.proposed).toBeNull();
  expect(await split(second)).toMatchObject({ outcome: 'accepted', ringEpoch: 2 });
});

it('are not granted to who has given up waiting', async () => {
  const first = await granted('a', { ttlMs: 60_000 });
  const giveUp = new AbortController();
  const waiting = take('b', { ttlMs: 60_000, waitMs: 60_000, signal: giveUp.signal });
  await rig.log.waitFor((state) => state.waiting.length === 1);
  giveUp.abort();
  expect(await waiting).toEqual({
    kind: 'refused',
    why: 'it was cancelled before it was granted: nothing has changed',
  });
  await first.release();
  expect(rig.log.state.locks.size).toBe(0);
});
