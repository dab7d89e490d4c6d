import { deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BodyBuffer } from '../../src/bridge/body-buffer.ts';
import { ByteBudget } from '../../src/bridge/byte-budget.ts';
import { inflate } from '../../src/bridge/inflate.ts';

const MiB = 1024 * 1024;
const PATTERN = Buffer.from(Array.from({ length: 251 }, (_, at) => at));
const letters = (length: number) => Buffer.alloc(length, PATTERN);

/** The last eight bytes of gzip are checksum and length. */
const wrongChecksum = (bytes: Buffer) => bytes.fill(0, bytes.length - 8, bytes.length - 4);

describe('a body', () => {
  it.each([
    [1_000, 100, true],
    [1_000, 100, false],
    [700_000, 16_384, true],
    [700_000, 16_384, false],
    [50_000, 50_000, true],
  ])('of %i bytes in chunks of %i is put together (declared: %s), and holds what it takes until released', (...of) => {
    const [length, chunkBytes, declared] = of;
    const budget = new ByteBudget(2 * MiB);
    const body = new BodyBuffer(budget, MiB);
    const bytes = letters(length);
    if (declared) expect(body.declare(length)).toBe('ok');
    for (let at = 0; at < length; at += chunkBytes) {
      expect(body.append(bytes.subarray(at, at + chunkBytes))).toBe('ok');
      expect(budget.heldBytes).toBeGreaterThanOrEqual(body.length);
    }
    expect(Buffer.compare(body.view(), bytes)).toBe(0);
    expect(budget.heldBytes).toBeLessThanOrEqual(declared ? 1.25 * length : 2.5 * length);
    const view = body.view();
    body.release();
    expect(budget.heldBytes).toBe(0);
    expect(Buffer.compare(view, bytes)).toBe(0);
    body.recycle();
    expect(budget.heldBytes).toBe(0);
  });

  it('holds little for what is declared and never comes', () => {
    const budget = new ByteBudget(128 * MiB);
    const body = new BodyBuffer(budget, 64 * MiB);
    expect(body.declare(64 * MiB)).toBe('ok');
    expect(body.append(letters(10))).toBe('ok');
    expect(budget.heldBytes).toBe(256 * 1024);
    body.recycle();
    expect(budget.heldBytes).toBe(0);
  });

  it('is refused above its own limit, declared or not', () => {
    const body = new BodyBuffer(new ByteBudget(MiB), 100);
    expect(body.declare(101)).toBe('too-large');
    expect(body.append(letters(60))).toBe('ok');
    expect(body.append(letters(41))).toBe('too-large');
  });

  it('has no room where others hold the budget, and may exceed it alone', () => {
    const budget = new ByteBudget(10_000);
    const first = new BodyBuffer(budget, MiB);
    expect(first.append(letters(20_000))).toBe('ok');
    const second = new BodyBuffer(budget, MiB);
    expect(second.append(letters(1))).toBe('no-room');
    expect(first.append(letters(20_000))).toBe('ok');
    first.recycle();
    expect(second.append(letters(20_000))).toBe('ok');
    second.recycle();
    expect(budget.heldBytes).toBe(0);
  });
});

describe('inflating', () => {
  const ANY_RATIO = Number.POSITIVE_INFINITY;
  const COMPRESS = { gzip: gzipSync, deflate: deflateSync };
  const zeros = Buffer.alloc(20 * MiB);

  it.each(['gzip', 'deflate'] as const)('%s gives back what was compressed, small and large', async (compression) => {
    for (const length of [0, 10, 100_000, 3 * MiB]) {
      const into = new BodyBuffer(new ByteBudget(8 * MiB), 4 * MiB);
      expect(await inflate(compression, COMPRESS[compression](letters(length)), into, ANY_RATIO)).toBe('ok');
      expect(Buffer.compare(into.view(), letters(length))).toBe(0);
      into.recycle();
    }
  });

  it.each(['gzip', 'deflate'] as const)('%s stops at the limit, and at the budget', async (compression) => {
    const bomb = COMPRESS[compression](zeros);
    for (const limit of [1_000, 2 * MiB]) {
      const budget = new ByteBudget(128 * MiB);
      let most = 0;
      const hold = budget.hold.bind(budget);
      budget.hold = (bytes) => {
        hold(bytes);
        most = Math.max(most, budget.heldBytes);
      };
      const into = new BodyBuffer(budget, limit);
      expect(await inflate(compression, bomb, into, ANY_RATIO)).toBe('too-large');
      expect(most).toBeLessThanOrEqual(limit);
      into.recycle();
      expect(budget.heldBytes).toBe(0);
    }
    const crowded = new ByteBudget(4 * MiB);
    crowded.hold(2 * MiB);
    const into = new BodyBuffer(crowded, 64 * MiB);
    expect(await inflate(compression, bomb, into, ANY_RATIO)).toBe('no-room');
    expect(crowded.heldBytes).toBeLessThanOrEqual(4 * MiB);
  });

  it.each([
    ['nonsense', Buffer.from('hello')],
    ['a cut end', gzipSync(letters(1_000)).subarray(0, 200)],
    ['a wrong checksum', wrongChecksum(gzipSync(letters(1_000)))],
    ['a large body with a cut end', gzipSync(letters(3 * MiB)).subarray(0, -9)],
  ])('says of %s that it is malformed', async (_, body) => {
    const into = new BodyBuffer(new ByteBudget(8 * MiB), 4 * MiB);
    expect(await inflate('gzip', body, into, ANY_RATIO)).toBe('malformed');
  });

  it.each(['gzip', 'deflate'] as const)('%s stops where a few bytes become too many', async (compression) => {
    const body = COMPRESS[compression](zeros);
    const ratio = zeros.length / body.length;
    const inflated = async (maxRatio: number, small = body) => {
      const into = new BodyBuffer(new ByteBudget(64 * MiB), 64 * MiB);
      return { outcome: await inflate(compression, small, into, maxRatio), bytes: into.length };
    };
    expect(await inflated(ratio + 1)).toEqual({ outcome: 'ok', bytes: zeros.length });
    const stopped = await inflated(100);
    expect(stopped.outcome).toBe('bomb');
    expect(stopped.bytes).toBeLessThanOrEqual(16 * MiB);
    // What stays small may come from as few bytes as it likes.
    const small = zeros.subarray(0, 16 * MiB);
    expect(await inflated(1, COMPRESS[compression](small))).toEqual({ outcome: 'ok', bytes: small.length });
  });
});
