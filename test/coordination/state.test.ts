import { describe, expect, it } from 'vitest';
import type { ControlEvent } from '../../src/coordination/events.ts';
import { type ControlState, EMPTY_STATE, fold, MAX_SUBJECTS } from '../../src/coordination/state.ts';

const elected = (member: string): ControlEvent => ({
  type: 'LeaderElected',
  version: 1,
  at: 5,
  name: 'control',
  member,
  electionId: `by ${member}`,
  generation: 3,
  memberId: `${member}-id`,
});
const made = (subject: string, sequence = 1, leaderEpoch = 0): ControlEvent => ({
  ...{ type: 'DecisionMade', version: 1, at: 10, leaderEpoch, sequence, id: `0-${sequence}`, kind: 'scaling', subject },
  ...{ fingerprint: 'scale_out 1>2', until: 70, inputOffset: 40 + sequence },
});
const cleared = (subject: string, sequence: number): ControlEvent => ({
  ...{ type: 'ConditionCleared', version: 1, at: 20, leaderEpoch: 0, sequence, kind: 'scaling', subject },
});
const foldAll = (events: readonly ControlEvent[], from: ControlState = EMPTY_STATE) =>
  events.reduce((state, event, index) => fold(state, event, BigInt(index)), from);

describe('the fold of the control log', () => {
  it('takes the offset of LeaderElected for the leader epoch, and counts the events of that leader only', () => {
    const state = foldAll([elected('a'), made('x', 1), made('y', 2), elected('b'), made('z', 3)]);
    expect(state.leaders.get('control')).toEqual({
      ...{ member: 'b', electionId: 'by b', memberId: 'b-id', leaderEpoch: 3, since: 5, sequence: 0 },
    });
    expect(state.nextOffset).toBe(5n);
    expect(foldAll([elected('a'), made('x', 1), made('y', 2)]).leaders.get('control')!.sequence).toBe(2);
  });

  it('remembers the last decision of a subject, and whether its condition has cleared', () => {
    const state = foldAll([elected('a'), made('x', 1), cleared('x', 2), cleared('never decided', 3)]);
    expect([...state.decisions.keys()]).toEqual(['scaling/x']);
    expect(state.decisions.get('scaling/x')).toMatchObject({ id: '0-1', until: 70, cleared: true });
    expect(state.inputOffset).toBe(41);
    expect(fold(state, made('x', 4), 4n).decisions.get('scaling/x')).toMatchObject({ id: '0-4', cleared: false });
  });

  it('changes no state that it was given', () => {
    const before = foldAll([elected('a'), made('x', 1)]);
    fold(before, cleared('x', 2), 2n);
    fold(before, elected('b'), 2n);
    expect(before).toEqual(foldAll([elected('a'), made('x', 1)]));
  });

  it('forgets the subject that was decided longest ago beyond its bound', () => {
    const many = Array.from({ length: MAX_SUBJECTS }, (_, i) => made(`s${i}`));
    const full = { ...EMPTY_STATE, decisions: foldAll(many.slice(0, 2)).decisions };
    const decisions = new Map(full.decisions);
    for (let i = 2; i < MAX_SUBJECTS; i++) decisions.set(`scaling/s${i}`, decisions.get('scaling/s1')!);
    const again = fold({ ...full, decisions }, made('s0', 7), 9n);
    expect(again.decisions.size).toBe(MAX_SUBJECTS);
    const beyond = fold(again, made('new', 8), 10n);
    expect(beyond.decisions.size).toBe(MAX_SUBJECTS);
    expect(beyond.decisions.has('scaling/s1')).toBe(false);
    expect(beyond.decisions.has('scaling/s0')).toBe(true);
  });
});
