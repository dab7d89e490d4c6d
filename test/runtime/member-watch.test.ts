import { describe, expect, it } from 'vitest';
import { EMPTY_STATE, fold } from '../../src/coordination/state.ts';
import { MemberWatch } from '../../src/runtime/member-watch.ts';
import { report } from '../load/reports.ts';

const reporter = (id: string) => ({ id, role: 'bridge', version: '0.1.0' }) as const;

/** A leader that writes what the watch tells, and a clock. */
function rig() {
  let state = EMPTY_STATE;
  let watch = new MemberWatch(3_000);
  let sequence = 0;
  return {
    /** Hears of these members at that time, and answers what is written then. */
    at(nowMs: number, ids: readonly string[], leaving: readonly string[] = []) {
      for (const id of [...ids, ...leaving])
        watch.hear(report(nowMs - 7, { reporter: reporter(id), leaving: leaving.includes(id) }), nowMs);
      const news = watch.news(state, nowMs);
      for (const event of news)
        state = fold(state, { ...event, leaderEpoch: 0, sequence: ++sequence }, state.nextOffset);
      return news.map((event) => `${event.id} ${event.type === 'MemberGone' ? event.how : 'joined'}`);
    },
    /** Another controller leads from now on. It has heard these reports before. */
    change(nowMs: number, heard: readonly [id: string, reportedAt: number][] = []) {
      watch = new MemberWatch(3_000);
      for (const [id, reportedAt] of heard) watch.hear(report(reportedAt, { reporter: reporter(id) }), nowMs);
      watch.begin(state, nowMs);
    },
    get state() {
      return state;
    },
  };
}

describe('the watch over the members', () => {
  it('says once that a member has joined, and that it has left when it says so', () => {
    const leader = rig();
    expect(leader.at(1_000, ['a', 'b'])).toEqual(['a joined', 'b joined']);
    expect(leader.at(2_000, ['a', 'b'])).toEqual([]);
    expect(leader.at(3_000, ['a'], ['b'])).toEqual(['b left']);
    expect(leader.at(9_000, ['a'])).toEqual([]);
    expect([...leader.state.members]).toEqual([['a', { role: 'bridge', release: '0.1.0', since: 1_000 }]]);
    expect(leader.state.departed.get('b')).toMatchObject({ how: 'left', reportedAt: 2_993, at: 3_000 });
  });

  it('counts one as lost once it was not heard for its timeout while others were, and as joined when it is heard again', () => {
    const leader = rig();
    leader.at(1_000, ['a', 'b']);
    expect(leader.at(4_000, ['a'])).toEqual([]);
    expect(leader.at(4_001, ['a'])).toEqual(['b lost']);
    expect(leader.at(4_002, ['a'])).toEqual([]);
    expect(leader.at(5_000, ['a', 'b'])).toEqual(['b joined']);
    expect(leader.state.departed.size).toBe(0);
  });

  it('tells nobody to be lost while nothing at all is heard', () => {
    const leader = rig();
    leader.at(1_000, ['a', 'b']);
    expect(leader.at(60_000, [])).toEqual([]);
    expect(leader.at(61_000, ['a', 'b'])).toEqual([]);
  });

  it('gives everybody the whole timeout again under a new leader, and then misses who vanished with the old one', () => {
    const leader = rig();
    leader.at(1_000, ['a', 'b']);
    leader.change(5_000);
    expect(leader.at(7_999, ['a'])).toEqual([]);
    expect(leader.at(8_001, ['a'])).toEqual(['b lost']);
  });

  it('knows of one that left while nobody led', () => {
    const leader = rig();
    leader.at(1_000, ['a', 'b']);
    leader.change(60_000);
    expect(leader.at(60_001, [], ['a', 'b'])).toEqual(['a left', 'b left']);
  });

  it('does not take an old report for the return of a member that is lost', () => {
    const leader = rig();
    leader.at(1_000, ['a', 'b']);
    expect(leader.at(4_001, ['a'])).toEqual(['b lost']);
    leader.change(4_500, [['b', 993]]);
    expect(leader.at(4_600, ['a'])).toEqual([]);
    expect(leader.at(4_700, ['a', 'b'])).toEqual(['b joined']);
  });
});
