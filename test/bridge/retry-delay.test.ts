import { describe, expect, it } from 'vitest';
import { createRetryDelay } from '../../src/bridge/retry-delay.ts';

/** A delay without jitter, and a clock to move. */
function setUp(random = () => 0) {
  let nowMs = 1_000_000;
  const delay = createRetryDelay(() => nowMs, random);
  return { delay, pass: (ms: number) => (nowMs += ms) };
}

/** Kafka takes `bytes` each 100 ms, and as much comes in, for so many seconds. */
function flow({ delay, pass }: ReturnType<typeof setUp>, backlogBytes: number, bytes: number, seconds: number): void {
  delay.changed(backlogBytes, 0);
  for (let step = 0; step < seconds * 10; step++) {
    pass(100);
    delay.changed(backlogBytes, bytes);
  }
}

describe('the delay', () => {
  it('is how long the backlog takes at the rate at which it drains', () => {
    const rig = setUp();
    flow(rig, 80_000_000, 1_000_000, 30);
    expect(rig.delay.nextMs()).toBeCloseTo(8_000, -2);
  });

  it('follows a rate that changes', () => {
    const rig = setUp();
    flow(rig, 40_000_000, 2_000_000, 30);
    expect(rig.delay.nextMs()).toBeCloseTo(2_000, -2);
    flow(rig, 40_000_000, 400_000, 30);
    expect(rig.delay.nextMs()).toBeGreaterThan(8_000);
    expect(rig.delay.nextMs()).toBeLessThan(10_500);
  });

  it('takes no account of times without a backlog: a bridge that was idle is not a slow one', () => {
    const rig = setUp();
    flow(rig, 20_000_000, 1_000_000, 10);
    rig.delay.changed(0, 20_000_000);
    rig.pass(3_600_000);
    rig.delay.changed(20_000_000, 0);
    rig.pass(10);
    expect(rig.delay.nextMs()).toBeLessThan(2_000);
  });

  it('grows while Kafka is silent, and shrinks once it takes bytes again', () => {
    const rig = setUp();
    flow(rig, 20_000_000, 1_000_000, 10);
    const before = rig.delay.nextMs();
    rig.pass(10_000);
    const silent = rig.delay.nextMs();
    expect(silent).toBeGreaterThan(before * 2);
    flow(rig, 20_000_000, 1_000_000, 10);
    expect(rig.delay.nextMs()).toBeLessThan(silent);
  });

  it('of a Kafka that has never answered is as long as it has been silent', () => {
    const { delay, pass } = setUp();
    expect(delay.nextMs()).toBe(1_000);
    delay.changed(5_000, 0);
    pass(4_000);
    expect(delay.nextMs()).toBe(4_000);
  });

  it('is between 1 s and 30 s, with up to a quarter more by chance', () => {
    let chance = 0;
    const rig = setUp(() => chance);
    flow(rig, 1, 1_000_000, 10);
    expect(rig.delay.nextMs()).toBe(1_000);
    rig.delay.changed(1e12, 0);
    rig.pass(60_000);
    expect(rig.delay.nextMs()).toBe(30_000);
    chance = 1;
    expect(rig.delay.nextMs()).toBe(37_500);
  });
});
