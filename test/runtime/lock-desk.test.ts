import { describe, expect, it } from 'vitest';
import type { LedEvent } from '../../src/coordination/events.ts';
import type { LockWish, Request } from '../../src/coordination/requests.ts';
import { EMPTY_STATE, fold } from '../../src/coordination/state.ts';
import { fencedOff, LockDesk } from '../../src/runtime/lock-desk.ts';

/** A leader that writes what the desk tells, and a clock. */
function rig() {
  let state = EMPTY_STATE;
  let nowMs = 0;
  let desk = new LockDesk(() => nowMs);
  let sequence = 0;
  const write = (events: readonly LedEvent[]) => {
    for (const event of events)
      state = fold(state, { ...event, leaderEpoch: 0, sequence: ++sequence }, state.nextOffset);
  };
  const settle = () => {
    for (let events = desk.due(state); events.length > 0; events = desk.due(state)) write(events);
  };
  return {
    ask(id: string, wish: LockWish, expiresAt = 60_000) {
      const request: Request = { version: 1, id, member: `of ${id}`, at: nowMs, expiresAt, wish };
      const { outcome, events = [] } = desk.judge(state, request, wish);
      write(events);
      settle();
      return outcome;
    },
    pass(ms: number) {
      nowMs += ms;
      settle();
    },
    changeLeader() {
      desk = new LockDesk(() => nowMs);
      desk.begin();
      settle();
    },
    holder: (resource = 'r') => state.locks.get(resource)?.requestId,
    token: (resource = 'r') => state.locks.get(resource)!.token,
    get state() {
      return state;
    },
  };
}

const acquire = (over: Partial<Extract<LockWish, { kind: 'acquire' }>> = {}): LockWish => ({
  ...{ kind: 'acquire', resource: 'r', ttlMs: 1_000, wait: true },
  ...over,
});

describe('the desk for locks', () => {
  it('grants in the order of the log, each with a greater token', () => {
    const desk = rig();
    const tokens: number[] = [];
    expect([desk.ask('a', acquire()), desk.ask('b', acquire()), desk.ask('c', acquire())]).toEqual([
      ...['accepted', 'queued', 'queued'],
    ]);
    for (const id of ['a', 'b', 'c']) {
      expect(desk.holder()).toBe(id);
      tokens.push(desk.token());
      expect(desk.ask(`release ${id}`, { kind: 'release', resource: 'r', token: desk.token() })).toBe('accepted');
    }
    expect(desk.holder()).toBeUndefined();
    expect([...tokens].sort((a, b) => a - b)).toEqual(tokens);
    expect(new Set(tokens).size).toBe(3);
    expect(desk.state.answers.get('c')).toMatchObject({ outcome: 'accepted' });
  });

  it('refuses who does not want to wait, and has nothing to do with other resources', () => {
    const desk = rig();
    desk.ask('a', acquire());
    expect(desk.ask('b', acquire({ wait: false }))).toBe('refused');
    expect(desk.ask('c', acquire({ resource: 'other', wait: false }))).toBe('accepted');
  });

  it('lets nobody pass those that wait', () => {
    const desk = rig();
    desk.ask('a', acquire());
    desk.ask('b', acquire());
    desk.ask('release', { kind: 'release', resource: 'r', token: desk.token() });
    expect(desk.holder()).toBe('b');
    expect(desk.ask('c', acquire({ wait: false }))).toBe('refused');
  });

  it('ends a lock that is not renewed, and only that', () => {
    const desk = rig();
    desk.ask('a', acquire());
    desk.ask('b', acquire());
    const token = desk.token();
    desk.pass(900);
    expect(desk.ask('renewal', { kind: 'renew', resource: 'r', token })).toBe('accepted');
    desk.pass(999);
    expect(desk.holder()).toBe('a');
    desk.pass(1);
    expect(desk.holder()).toBe('b');
    expect(desk.ask('late renewal', { kind: 'renew', resource: 'r', token })).toBe('refused');
    expect(desk.ask('late release', { kind: 'release', resource: 'r', token })).toBe('refused');
    expect(desk.holder()).toBe('b');
  });

  it('gives every lock its whole time again under a new leader, and keeps the line', () => {
    const desk = rig();
    desk.ask('a', acquire());
    desk.ask('b', acquire());
    desk.pass(900);
    desk.changeLeader();
    desk.pass(999);
    expect(desk.holder()).toBe('a');
    desk.pass(1);
    expect(desk.holder()).toBe('b');
  });

  it('notes under a new leader that an operation was interrupted, whose holder died with the old one', () => {
    const desk = rig();
    desk.ask('a', acquire());
    const token = desk.token();
    expect(desk.ask('start', { kind: 'start', resource: 'r', token, what: 'w' })).toBe('accepted');
    expect(desk.ask('another', { kind: 'start', resource: 'r', token, what: 'x' })).toBe('refused');
    desk.changeLeader();
    desk.pass(1_000);
    expect(desk.state.operations).toMatchObject([{ what: 'w', outcome: 'interrupted', holder: 'of a', token }]);
    expect(desk.ask('end', { kind: 'end', resource: 'r', token, outcome: 'done', text: 't' })).toBe('refused');
  });

  it('answers who has waited for too long with what was in the way, and grants it nothing later', () => {
    const desk = rig();
    desk.ask('a', acquire({ ttlMs: 10_000 }));
    desk.ask('start', { kind: 'start', resource: 'r', token: desk.token(), what: 'w' });
    desk.ask('b', acquire(), 500);
    desk.pass(500);
    const text = 'r did not come free in time: of a holds it for "w"';
    expect(desk.state.answers.get('b')).toMatchObject({ outcome: 'expired', text });
    desk.ask('release', { kind: 'release', resource: 'r', token: desk.token() });
    expect(desk.holder()).toBeUndefined();
  });

  it('gives a request that comes twice one place in the line', () => {
    const desk = rig();
    desk.ask('a', acquire());
    desk.ask('b', acquire());
    desk.ask('b', acquire());
    expect(desk.state.waiting.map(({ requestId }) => requestId)).toEqual(['b']);
  });

  it('takes no token but the latest', () => {
    const desk = rig();
    desk.ask('a', acquire());
    const token = desk.token();
    expect(fencedOff(desk.state, undefined)).toBeNull();
    expect(fencedOff(desk.state, { resource: 'r', token })).toBeNull();
    desk.pass(1_000);
    expect(fencedOff(desk.state, { resource: 'r', token })).toMatch(/nobody holds it now/);
    desk.ask('b', acquire());
    expect(fencedOff(desk.state, { resource: 'r', token })).toMatch(`the latest is ${desk.token()}`);
  });
});
