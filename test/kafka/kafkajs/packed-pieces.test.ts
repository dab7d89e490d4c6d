import { describe, expect, it } from 'vitest';
import { PackedPieces } from '../../../src/kafka/kafkajs/packed-pieces.ts';

const own = (bytes: number, text: string) => Buffer.alloc(bytes, text);

describe('pieces of compressed records', () => {
  it('stay as they are while what they came in is freed', () => {
    const pieces = new PackedPieces();
    const given = [own(100_000, 'a'), own(50_000, 'b'), own(200_000, 'c'), own(300_000, 'd')];
    const kept = given.map((bytes) => pieces.take(bytes));
    expect(kept.map((piece) => [piece.length, String(piece.subarray(-1))])).toEqual([
      [100_000, 'a'],
      [50_000, 'b'],
      [200_000, 'c'],
      [300_000, 'd'],
    ]);
    expect(given.slice(0, 3).map(({ buffer }) => buffer.byteLength)).toEqual([0, 0, 0]);
  });

  it('share no memory with those of another request, before they are released', () => {
    const [one, other] = [new PackedPieces(), new PackedPieces()];
    const first = one.take(own(10, 'a'));
    expect(other.take(own(10, 'b')).buffer).not.toBe(first.buffer);
    one.release();
    expect(new PackedPieces().take(own(10, 'c')).buffer).toBe(first.buffer);
  });
});
