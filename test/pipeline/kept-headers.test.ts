import { describe, expect, it } from 'vitest';
import type { Headers, Poll } from '../../src/kafka/port.ts';
import { MAX_GROUPS } from '../../src/kernels/split/kernel.ts';
import { groupByKeptHeaders } from '../../src/pipeline/kept-headers.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

function pollOf(records: Headers[]): Poll {
  return {
    topic: 'otlp_spans',
    partition: 0,
    count: records.length,
    bytes: 0,
    nextOffset: BigInt(records.length),
    offset: (i) => BigInt(i),
    timestampMs: () => 0,
    value: () => new Uint8Array(0),
    key: () => null,
    headers: (i) => records[i]!,
    release: () => undefined,
  };
}

const tenant = (name: string): Headers => [
  ['other', bytes('x')],
  ['tenant', bytes(name)],
];

describe('groupByKeptHeaders', () => {
  it('puts records with equal kept headers into one group, whatever their other headers', () => {
    const { groups, headers, count } = groupByKeptHeaders(pollOf([tenant('a'), tenant('b'), [], tenant('a')]), 0, [
      'tenant',
    ]);
    expect([...groups]).toEqual([0, 1, 2, 0]);
    expect(count).toBe(4);
    expect(headers).toEqual([[['tenant', bytes('a')]], [['tenant', bytes('b')]], []]);
  });

  it('tells apart values that only look alike when joined', () => {
    const two = (a: string, b: string): Headers => [
      ['a', bytes(a)],
      ['b', bytes(b)],
    ];
    const { groups } = groupByKeptHeaders(pollOf([two('x&b=y', ''), two('x', 'y'), [['a', bytes('x')]]]), 0, [
      'a',
      'b',
    ]);
    expect(new Set(groups).size).toBe(3);
  });

  it('ends before the record that would need one group too many', () => {
    const records = Array.from({ length: MAX_GROUPS + 5 }, (_, i) => tenant(`t${i}`));
    const { count, groups } = groupByKeptHeaders(pollOf(records), 0, ['tenant']);
    expect(count).toBe(MAX_GROUPS);
    expect(groups).toHaveLength(MAX_GROUPS);
  });

  it('leaves a record whose kept headers are large to a call of its own', () => {
    const large = tenant('x'.repeat(9_000));
    const poll = pollOf([tenant('a'), large, large, tenant('b')]);
    expect(groupByKeptHeaders(poll, 0, ['tenant']).count).toBe(1);
    expect([...groupByKeptHeaders(poll, 1, ['tenant']).groups]).toEqual([0, 0]);
    expect(groupByKeptHeaders(poll, 3, ['tenant']).headers).toEqual([[['tenant', bytes('b')]]]);
  });

  it('counts from where it is told to', () => {
    expect(groupByKeptHeaders(pollOf([tenant('a'), tenant('b')]), 1, ['tenant']).headers).toEqual([
      [['tenant', bytes('b')]],
    ]);
  });

  it('reads no headers when none are kept', () => {
    const poll = {
      ...pollOf([[], []]),
      headers: () => {
        throw new Error('read');
      },
    };
    expect([...groupByKeptHeaders(poll, 0, []).groups]).toEqual([0, 0]);
  });
});
