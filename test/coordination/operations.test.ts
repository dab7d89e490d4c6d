/** Operations as members carry them out, with a real leader on the in-process log: each outcome, and what the log says of it. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { acquireLock, askUnderLock } from '../../src/coordination/locks.ts';
import { coordinate, type OperationOptions } from '../../src/coordination/operations.ts';
import { askLeader } from '../../src/coordination/requests.ts';
import { type LeaderRig, startLeader } from './leader-rig.ts';

let rig: LeaderRig;
beforeEach(async () => {
  rig = await startLeader('o.');
});
afterEach(() => rig.close());

const run = (over: Partial<OperationOptions<string, string>> = {}) =>
  coordinate<string, string>(rig.asker('a'), {
    resource: 'maps',
    ttlMs: 60_000,
    timeoutMs: 60_000,
    propose: async () => ({ kind: 'proposed', proposal: 'atlas', what: 'draw an atlas' }),
    execute: async (proposal) => `${proposal} is drawn`,
    ...over,
  });
/** What the log says when all is over. */
const ended = () => rig.log.state.operations.map(({ what, outcome, text }) => [what, outcome, text]);
const aborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    const give = () => reject(signal.reason);
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { once: true });
  });

it('is noted before its effects, done, noted, and leaves the lock', async () => {
  let noted: string | undefined;
  const outcome = await run({
    execute: async (proposal, { fence }) => {
      const held = rig.log.state.locks.get('maps');
      expect(held?.token).toBe(fence.token);
      noted = held?.operation?.what;
      return `${proposal} is drawn`;
    },
  });
  expect(outcome).toEqual({ kind: 'done', result: 'atlas is drawn' });
  expect(noted).toBe('draw an atlas');
  expect(ended()).toEqual([['draw an atlas', 'done', 'draw an atlas']]);
  expect(rig.log.state.locks.size).toBe(0);
});

it('is not begun while another one holds the lock, and waits for it in line if it may', async () => {
  const held = await acquireLock(rig.asker('b'), 'maps', { ttlMs: 60_000 });
  expect(await run()).toEqual({ kind: 'lock-refused', why: 'b holds maps' });
  expect([...rig.log.state.answers.values()].at(-1)).toMatchObject({ outcome: 'refused', text: 'b holds maps' });
  const later = run({ waitMs: 60_000 });
  await rig.log.waitFor(({ waiting }) => waiting.length === 1);
  if (held.kind === 'granted') await held.lock.release();
  expect(await later).toMatchObject({ kind: 'done' });
});

it('tells why there is nothing to be done', async () => {
  const why = 'there is an atlas';
  expect(await run({ propose: async () => ({ kind: 'refused', why }) })).toEqual({ kind: 'proposal-refused', why });
  expect(ended()).toEqual([[null, 'refused', why]]);
  expect(rig.log.state.locks.size).toBe(0);
});

it('is refused where the leader refuses what it asks for', async () => {
  const { port, names, log } = rig;
  const outcome = await run({
    async execute(_, { fence }) {
      await askLeader(port, names, log, { kind: 'split', shard: 'none' }, { member: 'a', fence });
      return 'drawn';
    },
  });
  expect(outcome).toMatchObject({ kind: 'proposal-refused', why: expect.stringContaining('there is no shard none') });
  expect(ended()).toMatchObject([['draw an atlas', 'refused', expect.stringContaining('there is no shard none')]]);
  expect(rig.log.state.locks.size).toBe(0);
});

it('tells what it failed of', async () => {
  const cause = new Error('no ink');
  expect(await run({ execute: () => Promise.reject(cause) })).toEqual({ kind: 'failed', cause });
  expect(await run({ propose: () => Promise.reject(cause) })).toEqual({ kind: 'failed', cause });
  expect(ended()).toEqual([
    ['draw an atlas', 'failed', 'no ink'],
    [null, 'failed', 'no ink'],
  ]);
  expect(rig.log.state.locks.size).toBe(0);
});

it('is given up when its time is over', async () => {
  const outcome = await run({ timeoutMs: 20, execute: (_, { signal }) => aborted(signal) });
  expect(outcome.kind).toBe('timed-out');
  expect(ended()).toMatchObject([['draw an atlas', 'timed-out', expect.any(String)]]);
  expect(rig.log.state.locks.size).toBe(0);
});

it('keeps its lock for as long as it takes', async () => {
  const ttlMs = 600;
  // After each renewal most of the lock's time: without one the second would be beyond it.
  const execute = async () => {
    for (let renewals = 0; renewals < 4; renewals++) {
      const { size } = rig.log.state.answers;
      await rig.log.waitFor(({ answers }) => answers.size > size);
      rig.clock.nowMs += 0.9 * ttlMs;
    }
    return 'drawn';
  };
  expect(await run({ ttlMs, execute })).toEqual({ kind: 'done', result: 'drawn' });
});

it('is interrupted when its lock is lost, and can change nothing any more under the old token', async () => {
  const outcome = await run({
    async execute(_, { fence, signal }) {
      await askUnderLock(rig.asker('an operator'), { kind: 'release', ...fence });
      await aborted(signal).catch(() => {});
      const { port, names, log } = rig;
      await askLeader(port, names, log, { kind: 'split', shard: 'traces-0000' }, { member: 'a', fence });
      return 'drawn';
    },
  });
  expect(outcome).toMatchObject({ kind: 'interrupted' });
  expect(ended()).toMatchObject([['draw an atlas', 'interrupted', expect.any(String)]]);
  expect(rig.log.state.proposed).toBeNull();
});

it('goes on under the next leader, with the lock and the token that it has', async () => {
  const { port, names, log } = rig;
  const outcome = await run({
    async execute(proposal, { fence }) {
      await rig.nextLeader();
      await askLeader(port, names, log, { kind: 'split', shard: 'traces-0000' }, { member: 'a', fence });
      expect(log.state.locks.get('maps')?.token).toBe(fence.token);
      return `${proposal} is drawn`;
    },
  });
  expect(outcome).toEqual({ kind: 'done', result: 'atlas is drawn' });
  expect(ended()).toMatchObject([['draw an atlas', 'done', 'draw an atlas']]);
});

it('is interrupted when the leader is lost in the middle and none answers; the next one notes what it said last', async () => {
  const timeout = AbortSignal.timeout.bind(AbortSignal);
  const outcome = await run({
    ttlMs: 3_000,
    async execute() {
      await rig.stopLeader();
      // Nobody is to wait for the answer for as long as a user would.
      vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout(ms / 100));
      return 'drawn';
    },
  });
  vi.restoreAllMocks();
  expect(outcome).toMatchObject({ kind: 'interrupted', why: expect.stringContaining('there is no answer') });
  expect(ended()).toEqual([]);
  await rig.nextLeader();
  await rig.log.waitFor(({ operations }) => operations.length > 0);
  expect(ended()).toEqual([['draw an atlas', 'done', 'draw an atlas']]);
  expect(rig.log.state.locks.size).toBe(0);
});

it('of a member that died is ended by the leader, and completed by who takes the lock next', async () => {
  const dead = await acquireLock(rig.asker('dead'), 'maps', { ttlMs: 1_000 });
  if (dead.kind === 'refused') throw new Error(dead.why);
  const { token } = dead.lock;
  await askUnderLock(rig.asker('dead'), { kind: 'start', resource: 'maps', token, what: 'draw half an atlas' });
  const next = run({ waitMs: 60_000 });
  await rig.log.waitFor(({ waiting }) => waiting.length === 1);
  rig.clock.nowMs += 1_000;
  expect(await next).toMatchObject({ kind: 'done' });
  expect(ended()).toMatchObject([
    ['draw half an atlas', 'interrupted', 'nothing more was heard of dead'],
    ['draw an atlas', 'done', expect.any(String)],
  ]);
});
