/**
 * The record batches of one partition in a fetch answer, read as far as someone asks for: what is compressed takes its memory then, not
 * when it comes. Their format is in `record-batch.ts`.
 */
import type { CorruptBatch } from '../port.ts';
import { decompress } from './compression.ts';
import { corruptBatch, UnreadableBatch } from './corrupt-batch.ts';
import { FetchedRecords } from './fetched-records.ts';
import { type Frame, FramePool } from './frame-pool.ts';
import {
  AT,
  CHECKED_FROM,
  CODEC,
  CONTROL,
  COUNTED_FROM,
  crc32c,
  FORMAT,
  HEADER_BYTES,
  LOG_APPEND_TIME,
  TRANSACTIONAL,
} from './record-batch.ts';
import { VarintReader } from './varint-reader.ts';

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

/** Where what is read lies, and who counts it. */
interface Memory {
  /** Of the answer; held until nobody reads from it. */
  readonly frame?: Frame | undefined;
  readonly pool: FramePool;
}

export class FetchedBatches {
  readonly #bytes: Buffer;
  /** Of the next batch. */
  #at = 0;
  readonly #position: number;
  #nextOffset: number;
  #corrupt: CorruptBatch | null = null;
  /** Not yet met, in the order of their offsets. */
  readonly #aborted: AbortedTransaction[];
  readonly #abortedNow = new Set<bigint>();
  readonly #memory: Memory;
  /** By so much compressed batches have grown. */
  #grownBytes = 0;

  /** A batch that is cut off at the end of `bytes` is left for the next fetch. */
  constructor(
    bytes: Buffer,
    position: number,
    aborted: readonly AbortedTransaction[],
    memory: Memory = { pool: new FramePool(0) },
  ) {
    this.#bytes = bytes;
    this.#position = position;
    this.#nextOffset = position;
    this.#aborted = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
    this.#memory = memory;
    memory.frame?.hold();
  }

  release(): void {
    this.#memory.frame?.release();
  }

  /** What a byte was compressed to, of what was read; 1 where nothing was. */
  get packing(): number {
    return this.#at === 0 ? 1 : this.#at / (this.#at + this.#grownBytes);
  }

  /**
   * Whether a further poll of so many bytes would be filled. What is left of compressed batches and fills less than half of one is cheaper
   * fetched again than written in a transaction of its own.
   */
  hasAnother(pollBytes: number): boolean {
    const left = this.#bytes.length - this.#at;
    return this.#corrupt === null && this.#end !== null && left > (this.packing * pollBytes) / 2;
  }

  /**
   * The visible records of the next batches: of compressed ones no more than fill `mostBytes`, as far as can be told before, but at least
   * one; of others all. They end before a batch that cannot be read.
   */
  next(mostBytes = Number.POSITIVE_INFINITY): FetchedRecords {
    const records = new FetchedRecords(this.#nextOffset);
    const bytes = this.#bytes;
    const from = this.#at;
    const grownBefore = this.#grownBytes;
    for (let end = this.#end; end !== null && this.#corrupt === null; end = this.#end) {
      const at = this.#at;
      const grown = this.#grownBytes - grownBefore;
      if (grown > 0 && at - from + grown + (end - at) / this.packing > mostBytes) break;
      try {
        checkWhole(bytes, at, end);
        this.#read(records, at, end);
        this.#at = end;
      } catch (error) {
        if (!(error instanceof UnreadableBatch)) throw error;
        this.#corrupt = corruptBatch(error, bytes, at, this.#nextOffset);
      }
    }
    records.nextOffset = this.#nextOffset;
    records.corrupt = this.#corrupt;
    return records;
  }

  /** Of the next batch; null where it is not all there. */
  get #end(): number | null {
    if (this.#at + HEADER_BYTES > this.#bytes.length) return null;
    const end = this.#at + COUNTED_FROM + this.#bytes.readInt32BE(this.#at + AT.length);
    return end > this.#bytes.length ? null : end;
  }

  #read(records: FetchedRecords, at: number, end: number): void {
    const bytes = this.#bytes;
    const baseOffset = Number(bytes.readBigInt64BE(at));
    const lastOffset = baseOffset + bytes.readInt32BE(at + AT.lastOffsetDelta);
    const attributes = bytes.readInt16BE(at + AT.attributes);
    const producerId = bytes.readBigInt64BE(at + AT.producerId);
    while (this.#aborted.length > 0 && this.#aborted[0]!.firstOffset <= lastOffset) {
      this.#abortedNow.add(this.#aborted.shift()!.producerId);
    }
    const transactional = (attributes & TRANSACTIONAL) !== 0;
    if ((attributes & CONTROL) !== 0) {
      // A control record's key: version int16, type int16; type 0 ends an aborted transaction.
      if (transactional && controlType(bytes, at + HEADER_BYTES) === 0) this.#abortedNow.delete(producerId);
    } else if (!transactional || !this.#abortedNow.has(producerId)) {
      const appendTime = (attributes & LOG_APPEND_TIME) !== 0;
      records.add(
        {
          ...this.#unpack(records, at, end, attributes & CODEC),
          records: bytes.readInt32BE(at + AT.records),
          baseOffset,
          baseTimestamp: Number(bytes.readBigInt64BE(at + AT.baseTimestamp)),
          appendTime: appendTime ? Number(bytes.readBigInt64BE(at + AT.maxTimestamp)) : null,
        },
        this.#position,
      );
    }
    this.#nextOffset = Math.max(this.#nextOffset, lastOffset + 1);
  }

  /** Where the records of a batch lie, once they are decompressed. */
  #unpack(records: FetchedRecords, at: number, end: number, codec: number): { bytes: Buffer; from: number } {
    const { frame, pool } = this.#memory;
    const from = at + HEADER_BYTES;
    if (codec === 0) {
      frame?.hold();
      if (frame) records.lieIn(frame);
      return { bytes: this.#bytes.subarray(0, end), from };
    }
    const bytes = decompress(codec, this.#bytes.subarray(from, end));
    records.lieIn(pool.adopt(bytes));
    this.#grownBytes += bytes.length - (end - from);
    return { bytes, from: 0 };
  }
}

function checkWhole(bytes: Buffer, at: number, end: number): void {
  if (end < at + HEADER_BYTES) throw new UnreadableBatch('damaged', `its length says ${end - at} bytes`);
  const [told, is] = [bytes.readUInt32BE(at + AT.checksum), crc32c.update(0, bytes.subarray(at + CHECKED_FROM, end))];
  if (told !== is)
    throw new UnreadableBatch(
      'damaged',
      `its checksum says ${told.toString(16)}, that of its bytes is ${is.toString(16)}`,
    );
  const format = bytes[at + AT.format];
  if (format !== FORMAT) throw new UnreadableBatch('unsupported', `record format ${format} is not known`);
}

function controlType(bytes: Buffer, recordsAt: number): number {
  const reader = new VarintReader(bytes, recordsAt);
  reader.varint();
  reader.at += 1;
  reader.varlong();
  reader.varint();
  return reader.varint() >= 4 ? bytes.readInt16BE(reader.at + 2) : -1;
}
