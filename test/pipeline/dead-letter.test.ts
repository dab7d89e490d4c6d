import { describe, expect, it } from 'vitest';
import type { Headers, Poll, Value } from '../../src/kafka/port.ts';
import { RECORD_STATUS } from '../../src/kernels/split/kernel.ts';
import { deadLetter } from '../../src/pipeline/dead-letter.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined) => new TextDecoder().decode(value);

function pollOf(value: Value, headers: Headers): Poll {
  return {
    topic: 'otlp_spans',
    partition: 3,
    count: 1,
    bytes: value?.length ?? 0,
    nextOffset: 42n,
    offset: () => 41n,
    timestampMs: () => 0,
    value: () => value,
    key: () => null,
    headers: () => headers,
    release: () => undefined,
  };
}

const header = (headers: Headers, name: string) => text(headers.find((one) => one[0] === name)?.[1]);

describe('deadLetter', () => {
  it('passes value and headers on unchanged and says from where and why', () => {
    const value = bytes('not otlp');
    const letter = deadLetter(pollOf(value, [['tenant', bytes('a')]]), 0, RECORD_STATUS.malformed, 1_000);
    expect(letter.value).toBe(value);
    expect(letter.reason).toBe('malformed');
    expect(header(letter.headers, 'weir-reason')).toBe('malformed');
    expect(header(letter.headers, 'weir-source')).toBe('otlp_spans/3/41');
    expect(header(letter.headers, 'tenant')).toBe('a');
  });

  it('keeps null null, which is not the same as empty', () => {
    expect(deadLetter(pollOf(null, []), 0, RECORD_STATUS.null_value, 1_000).value).toBeNull();
  });

  it('cuts what outgrows the limit and says how long it was', () => {
    const letter = deadLetter(pollOf(new Uint8Array(2_000).fill(7), []), 0, RECORD_STATUS.item_too_large, 1_000);
    expect(letter.value).toHaveLength(1_000);
    expect(header(letter.headers, 'weir-cut-from')).toBe('2000');
  });

  it('counts the headers towards the limit', () => {
    const poll = pollOf(new Uint8Array(900), [['big', new Uint8Array(500)]]);
    const letter = deadLetter(poll, 0, RECORD_STATUS.malformed, 1_000);
    expect(header(letter.headers, 'weir-cut-from')).toBe('900');
    expect(letter.headers.some(([name]) => name === 'big')).toBe(false);
  });

  it('counts a name by its bytes, and drops the headers of a null record, too', () => {
    const wide = pollOf(new Uint8Array(100), [['\ufffd'.repeat(400), new Uint8Array(0)]]);
    expect(deadLetter(wide, 0, RECORD_STATUS.malformed, 1_000).headers).toHaveLength(3);
    const empty = pollOf(null, [['big', new Uint8Array(2_000)]]);
    const letter = deadLetter(empty, 0, RECORD_STATUS.null_value, 1_000);
    expect(letter.value).toBeNull();
    expect(letter.headers.some(([name]) => name === 'big')).toBe(false);
    expect(header(letter.headers, 'weir-cut-from')).toBe('0');
  });

  it('refuses to bury a record that was taken', () => {
    expect(() => deadLetter(pollOf(bytes(''), []), 0, RECORD_STATUS.ok, 1_000)).toThrow(RangeError);
  });
});
