import { describe, expect, it } from 'vitest';
import { type ControlEvent, type RingProposed, ringActiveEvent } from '../../src/coordination/events.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { applyChange } from '../../src/coordination/ring-change.ts';
import {
  type ControlState,
  EMPTY_STATE,
  fold,
  MAX_ANSWERS,
  MAX_DEPARTED,
  MAX_SUBJECTS,
} from '../../src/coordination/state.ts';
import { pastMovesOf } from '../../src/runtime/decide-state.ts';
import { kernels, testConfig } from './cluster.ts';

const ring = firstRing(testConfig(), kernels.ring, kernels.hash);
const nothing = { moves: [], added: [], retired: [], overrides: [] };

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

  it('takes no lock event whose token is not the latest of the resource', () => {
    const led = { version: 1, at: 1, leaderEpoch: 0, sequence: 1 } as const;
    const granted = (requestId: string): ControlEvent => ({
      ...{ ...led, type: 'LockGranted', resource: 'r', requestId, holder: 'm', ttlMs: 1 },
    });
    const under = (token: number): ControlEvent[] => [
      { ...led, type: 'LockReleased', resource: 'r', token, how: 'released' },
      { ...led, type: 'OperationStarted', resource: 'r', token, what: 'w' },
      { ...led, type: 'OperationEnded', resource: 'r', token, outcome: 'done', text: 't' },
    ];
    const damaged = expect.objectContaining({ code: 'CONTROL_LOG_UNREADABLE' });
    const [release] = under(1);
    const held = foldAll([elected('a'), granted('x'), release!, granted('y')]);
    expect(held.locks.get('r')).toMatchObject({ token: 3, requestId: 'y' });
    for (const event of [granted('z'), ...under(1)]) expect(() => fold(held, event, 4n)).toThrow(damaged);
    for (const event of under(3)) expect(() => fold(held, event, 4n)).not.toThrow();
  });

  it('remembers the members that are gone up to its bound, the last ones', () => {
    const led = { version: 1, at: 1, leaderEpoch: 0, sequence: 1 } as const;
    const events = Array.from({ length: MAX_DEPARTED + 1 }, (_, i): ControlEvent[] => [
      { ...led, type: 'MemberJoined', id: `m${i}`, role: 'bridge', release: '1' },
      { ...led, type: 'MemberGone', id: `m${i}`, how: 'left', reportedAt: i },
    ]);
    const { members, departed } = foldAll(events.flat());
    expect([members.size, departed.size, departed.has('m0')]).toEqual([0, MAX_DEPARTED, false]);
    expect(departed.get('m1')).toEqual({ role: 'bridge', release: '1', how: 'left', reportedAt: 1, at: 1 });
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

  describe('with ring epochs', () => {
    const { traces, metrics, logs } = ringActiveEvent(ring, 1).signals!;
    const first: ControlEvent = { type: 'RingActive', version: 1, at: 1, epoch: 1, signals: { traces, metrics, logs } };
    const led = { version: 1, at: 30, leaderEpoch: 0, sequence: 1 } as const;
    const proposed = (epoch: number, over: Partial<RingProposed> = {}): ControlEvent => ({
      ...{ ...led, type: 'RingProposed', epoch, base: 1, change: {}, carryMs: 0, reason: 'because', ...over },
    });
    const adopted = (epoch: number): ControlEvent => ({ ...led, type: 'RingAdopted', epoch });
    const active = (epoch: number): ControlEvent => ({ ...led, type: 'RingActive', epoch });

    it('remembers of moves what they were to bring, until they are judged', () => {
      const planned = { signal: 'traces', from: 1.9, to: 1.1 } as const;
      const events = [first, proposed(2, { planned, decisionId: '0-4' }), { ...active(2), at: 77 }];
      const state = foldAll(events);
      expect(state.changes).toMatchObject([{ change: {}, at: 30, decisionId: '0-4', planned, epoch: 2, activeAt: 77 }]);
      const verified = { ...led, type: 'PlanVerified', decisionId: '0-4', measured: 2.5, reversed: true } as const;
      expect(fold(state, { ...verified, epoch: 2 }, 9n).changes).toMatchObject([{ epoch: 2, planned: null }]);
      expect(fold(state, { ...verified, epoch: 3 }, 9n).changes).toEqual(state.changes);
    });

    it('has a proposal beside the ring in force until that becomes active', () => {
      const before = foldAll([first, proposed(2)]);
      expect([before.ring!.epoch, before.proposed!.ring.epoch]).toEqual([1, 2]);
      const after = fold(before, active(2), 9n);
      expect([after.ring!.epoch, after.proposed]).toEqual([2, null]);
    });

    it('takes a proposal back by one with the tables of before', () => {
      const state = foldAll([first, proposed(2), proposed(3, { abandons: 2 }), active(3)]);
      expect(state.ring!.signals).toEqual(foldAll([first]).ring!.signals);
      expect(state.ring!.epoch).toBe(3);
    });

    it('says of what takes a proposal back where it leads: from what was proposed to what was before, with all that went by it', () => {
      const moved = ring.signals.logs.slots[7]!;
      const added = { id: 4, name: 'n', topic: 't', weight: 1 };
      const logs = { ...nothing, moves: [{ from: moved, to: 4, runs: [7, 1] }], added: [added] };
      const events = [first, proposed(2, { change: { logs }, carryMs: 10 })];
      const before = foldAll(events).proposed!;
      expect(before).toMatchObject({ carryFrom: 20, abandons: null, adoptedAt: null, before: { epoch: 1 } });
      const after = foldAll([...events, proposed(3, { abandons: 2, carryMs: 10, at: 99 })]).proposed!;
      expect(after).toMatchObject({ carryFrom: before.at, abandons: 2, before: { epoch: 2 } });
      expect(after.change).toEqual({
        logs: { ...nothing, moves: [{ from: 4, to: moved, runs: [7, 1] }], retired: [4] },
      });
      expect(applyChange(before.ring, after.change, 3).signals).toEqual(after.ring.signals);
    });

    it('remembers the changes that led to the ring in force, not those taken back', () => {
      const change = { logs: { ...nothing, retired: [] } };
      const events = [first, proposed(2, { change }), active(2), proposed(3, { base: 2 })];
      const state = foldAll([...events, proposed(4, { base: 2, abandons: 3 }), active(4)]);
      expect(state.changes).toMatchObject([{ change, at: 30, epoch: 2 }]);
    });

    it('remembers what has taken a change back where it has copied, and does not count it as a move', () => {
      const moved = ring.signals.logs.slots[7]!;
      const to = (moved + 1) % 4;
      const change = { logs: { ...nothing, moves: [{ from: moved, to, runs: [7, 1] }] } };
      const events = [first, proposed(2, { change, carryMs: 10 }), proposed(3, { abandons: 2, carryMs: 10 })];
      const { changes } = foldAll([...events, active(3)]);
      const back = { logs: { ...nothing, moves: [{ from: to, to: moved, runs: [7, 1] }] } };
      expect(changes).toMatchObject([{ epoch: 3, abandons: 2, change: back, carryFrom: 30 }]);
      expect(pastMovesOf(changes).logs).toEqual([]);
    });

    it('never gives the id of a shard again, also when it never came to be', () => {
      const added = { id: 4, name: 'n', topic: 't', weight: 1 };
      const change = { logs: { moves: [], added: [added], retired: [], overrides: [] } };
      const state = foldAll([first, proposed(2, { change }), proposed(3, { abandons: 2 }), active(3)]);
      expect(state.nextShard).toEqual({ traces: 4, metrics: 4, logs: 5 });
    });

    it.each<[string, ControlEvent[]]>([
      ['a second proposal', [first, proposed(2), proposed(3)]],
      ['a proposal on an epoch that is not in force', [first, proposed(2, { base: 7 })]],
      ['a proposal that leaves an epoch out', [first, proposed(3)]],
      ['an active epoch that was not proposed', [first, proposed(2), active(3)]],
      [
        'a proposal that takes back one that all have adopted',
        [first, proposed(2), adopted(2), proposed(3, { abandons: 2 })],
      ],
      ['an adopted epoch that was not proposed', [first, proposed(2), adopted(3)]],
      ['a proposal before the first epoch', [proposed(2)]],
      ['a change that does not fit', [first, proposed(2, { change: { logs: { ...nothing, retired: [9] } } })]],
    ])('refuses %s as damage', (_what, events) => {
      expect(() => foldAll(events)).toThrow(expect.objectContaining({ code: 'CONTROL_LOG_UNREADABLE' }));
    });
  });

  it('remembers the answers of the last requests', () => {
    const answered = (id: string, outcome: 'accepted' | 'refused'): ControlEvent => ({
      ...{
        type: 'RequestAnswered',
        version: 1,
        at: 1,
        leaderEpoch: 0,
        sequence: 1,
        id,
        outcome,
        text: `${id} is ${outcome}`,
      },
    });
    const state = foldAll([answered('a', 'accepted'), answered('b', 'refused')]);
    expect(state.answers.get('b')).toMatchObject({ outcome: 'refused', text: 'b is refused' });
    const many = Array.from({ length: MAX_ANSWERS }, (_, i) => answered(`c${i}`, 'accepted'));
    const later = foldAll(many, state);
    expect(later.answers.size).toBe(MAX_ANSWERS);
    expect(later.answers.has('b')).toBe(false);
  });
});
