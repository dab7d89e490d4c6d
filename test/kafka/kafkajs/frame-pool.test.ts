import { describe, expect, it } from 'vitest';
import { FramePool } from '../../../src/kafka/kafkajs/frame-pool.ts';

const MiB = 1024 * 1024;

describe('a pool of frames', () => {
  it('uses a buffer again once all its holders have released it, and not before', () => {
    const pool = new FramePool(8 * MiB);
    const first = pool.take(MiB);
    first.hold();
    first.release();
    const second = pool.take(MiB);
    expect(second.bytes.buffer).not.toBe(first.bytes.buffer);
    first.release();
    expect(pool.take(MiB).bytes.buffer).toBe(first.bytes.buffer);
  });

  it('gives the smallest buffer that is large enough', () => {
    const pool = new FramePool(8 * MiB);
    const [large, small] = [pool.take(3 * MiB), pool.take(100)];
    small.release();
    large.release();
    const next = pool.take(200);
    expect([next.bytes.length, next.bytes.buffer === small.bytes.buffer]).toEqual([200, true]);
    expect(pool.take(2 * MiB).bytes.buffer).toBe(large.bytes.buffer);
  });

  it('knows what is held, and keeps no more than its limit', () => {
    const pool = new FramePool(2 * MiB);
    const frames = [pool.take(MiB), pool.take(MiB), pool.take(MiB)];
    expect(pool.heldBytes).toBe(3 * MiB);
    for (const frame of frames) frame.release();
    expect(pool.heldBytes).toBe(0);
    const again = [pool.take(MiB), pool.take(MiB), pool.take(MiB)].map(({ bytes }) => bytes.buffer);
    expect(frames.filter(({ bytes }) => again.includes(bytes.buffer)).length).toBe(2);
  });

  it('gives the memory of what it does not keep back at once', () => {
    const pool = new FramePool(2 * MiB);
    const frames = [pool.take(MiB), pool.take(2 * MiB)];
    for (const frame of frames) frame.release();
    expect(frames.map(({ bytes }) => bytes.buffer.byteLength)).toEqual([0, 2 * MiB]);
  });

  it('counts what it adopts as held, keeps less beside it, and frees it at its release', () => {
    const pool = new FramePool(3 * MiB);
    const frames = [pool.take(MiB), pool.take(MiB)];
    for (const frame of frames) frame.release();
    const adopted = pool.adopt(Buffer.alloc(1.5 * MiB));
    expect(pool.heldBytes).toBe(1.5 * MiB);
    expect(frames.map(({ bytes }) => bytes.buffer.byteLength)).toEqual([0, MiB]);
    adopted.release();
    expect([pool.heldBytes, adopted.bytes.length]).toEqual([0, 0]);
    expect(pool.take(MiB).bytes.buffer).toBe(frames[1]!.bytes.buffer);
  });

  it('never uses the buffer of a broken connection again', () => {
    const pool = new FramePool(8 * MiB);
    const frame = pool.take(MiB);
    frame.discard();
    expect([pool.heldBytes, frame.bytes.length]).toEqual([0, MiB]);
    expect(pool.take(MiB).bytes.buffer).not.toBe(frame.bytes.buffer);
  });
});
