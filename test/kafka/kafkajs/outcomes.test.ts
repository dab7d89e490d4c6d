import { describe, expect, it } from 'vitest';
import { WeirError } from '../../../src/errors.ts';
import {
  BrokerError,
  ConnectionFault,
  check,
  denied,
  type Fault,
  faultOf,
  isPassing,
} from '../../../src/kafka/kafkajs/outcomes.ts';

const faultOfCode = (code: number) => faultOf(new BrokerError('Any', code));

describe('what an error means', () => {
  it.each<[Fault, number[]]>([
    ['busy', [14, 19, 51, 55, 88]],
    ['moved', [3, 5, 6, 15, 16, 74]],
    ['unclear', [-1, 7, 13, 20, 56]],
    ['fenced', [47, 82, 90]],
    ['too-large', [10, 18]],
    ['refused', [17, 32, 87]],
    ['denied', [29, 30, 31, 53]],
    ['sequence', [45, 49, 59]],
    ['rejoin', [22, 25, 27]],
    ['out-of-range', [1]],
    ['failed', [23, 26, 48, 120, 12_345]],
  ])('%s: %j', (fault, codes) => {
    for (const code of codes) expect(faultOfCode(code), String(code)).toBe(fault);
  });

  it('counts a request that was sent and not answered as unclear, one that was not sent as not done', () => {
    expect(faultOf(new ConnectionFault('x', { sent: true }))).toBe('unclear');
    expect(faultOf(new ConnectionFault('x', { sent: false }))).toBe('moved');
  });

  it('tries on while credentials that were good are refused, and gives up where rights are missing', () => {
    expect(isPassing(new WeirError('KAFKA_AUTH', 'x'))).toBe(true);
    expect(isPassing(denied('to read topic t', new BrokerError('Fetch', 29)))).toBe(false);
  });

  it('never takes a bug for something that passes', () => {
    expect(isPassing(new TypeError('x'))).toBe(false);
  });

  it('names request, code and what it was about', () => {
    expect(() => check('JoinGroup', 30, 'group g')).toThrow('JoinGroup for group g: GROUP_AUTHORIZATION_FAILED');
    expect(() => check('JoinGroup', 0)).not.toThrow();
  });
});
