/** The log of one partition: batches, transactions and their markers, the last stable offset, truncation. */
import { type Batch, batchBytes, copyRecords, MARKER_BYTES, type RecordToAppend, type StoredRecord } from './batch.ts';
import { ProducerSequences, type ProducerStamp } from './sequences.ts';

export type Isolation = 'read_committed' | 'read_uncommitted';

export interface LogRead {
  readonly records: readonly StoredRecord[];
  readonly valueBytes: number;
  /** Behind the last record and behind whatever follows it that the reader does not see. */
  readonly nextOffset: number;
}

export interface AppendRequest {
  readonly records: readonly RecordToAppend[];
  readonly timestampMs: number;
  readonly producer?: ProducerStamp & { readonly transactional: boolean };
}

export class PartitionLog {
  #batches: Batch[] = [];
  #earliest = 0;
  #end = 0;
  #bytes = 0;
  readonly #sequences = new ProducerSequences();
  /** Producer id -> batches of its open transaction here, oldest first. */
  readonly #open = new Map<number, Batch[]>();
  readonly #listeners = new Set<() => void>();

  get earliest(): number {
    return this.#earliest;
  }

  get end(): number {
    return this.#end;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** First offset that an open transaction holds back, else the end. */
  get lastStable(): number {
    let lowest = this.#end;
    for (const batches of this.#open.values()) lowest = Math.min(lowest, batches[0]!.baseOffset);
    return lowest;
  }

  get oldest(): Batch | undefined {
    return this.#batches[0];
  }

  /** Called after each change that may give a reader something to do; the answer takes the listener away. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Appends all records as one batch, or nothing if the batch is here already. Offset of its first record. */
  append({ records, timestampMs, producer }: AppendRequest): number {
    if (producer) {
      const duplicateAt = this.#sequences.check(producer, records.length);
      if (duplicateAt !== null) return duplicateAt;
    }
    const batch: Batch = {
      baseOffset: this.#end,
      lastOffset: this.#end + records.length - 1,
      records: copyRecords(records, this.#end, timestampMs),
      bytes: batchBytes(records),
      timestampMs,
      state: producer?.transactional ? 'open' : 'plain',
    };
    this.#push(batch);
    if (producer) {
      this.#sequences.appended(producer, records.length, batch.baseOffset, timestampMs);
      if (producer.transactional) {
        const open = this.#open.get(producer.producerId);
        if (open) open.push(batch);
        else this.#open.set(producer.producerId, [batch]);
      }
    }
    this.#notify();
    return batch.baseOffset;
  }

  /** Writes the marker, which takes an offset, also where the transaction wrote nothing. */
  endTransaction(producerId: number, epoch: number, outcome: 'committed' | 'aborted', nowMs: number): void {
    for (const batch of this.#open.get(producerId) ?? []) batch.state = outcome;
    this.#open.delete(producerId);
    this.#sequences.markerAppended(producerId, epoch, nowMs);
    this.#push({
      baseOffset: this.#end,
      lastOffset: this.#end,
      records: [],
      bytes: MARKER_BYTES,
      timestampMs: nowMs,
      state: 'marker',
    });
    this.#notify();
  }

  /**
   * Records from `from` on, up to both limits; one that is larger than `maxValueBytes` alone. null: `from` is outside
   * the log.
   */
  read(from: number, isolation: Isolation, maxRecords: number, maxValueBytes: number): LogRead | null {
    if (from < this.#earliest || from > this.#end) return null;
    const bound = isolation === 'read_committed' ? this.lastStable : this.#end;
    const records: StoredRecord[] = [];
    let valueBytes = 0;
    let nextOffset = from;
    for (let i = this.#indexOf(from); i < this.#batches.length; i++) {
      const batch = this.#batches[i]!;
      if (batch.baseOffset >= bound) break;
      const hidden = batch.state === 'aborted' && isolation === 'read_committed';
      for (const record of hidden ? [] : batch.records) {
        if (record.offset < from) continue;
        const length = record.value?.length ?? 0;
        if (records.length >= maxRecords || (records.length > 0 && valueBytes + length > maxValueBytes)) {
          return { records, valueBytes, nextOffset };
        }
        records.push(record);
        valueBytes += length;
        nextOffset = record.offset + 1;
      }
      nextOffset = batch.lastOffset + 1;
    }
    return { records, valueBytes, nextOffset: Math.max(nextOffset, bound) };
  }

  /** How many records a read_committed reader at this position has before it; from the earliest on where it is lost. */
  countCommitted(position: number): number {
    const from = Math.max(position, this.#earliest);
    const bound = this.lastStable;
    let count = 0;
    for (let i = this.#indexOf(from); i < this.#batches.length; i++) {
      const batch = this.#batches[i]!;
      if (batch.baseOffset >= bound) break;
      if (batch.state === 'aborted') continue;
      if (batch.baseOffset >= from) count += batch.records.length;
      else for (const record of batch.records) if (record.offset >= from) count++;
    }
    return count;
  }

  /** Deletes the records before `offset`. */
  truncate(offset: number): void {
    this.#earliest = Math.max(this.#earliest, Math.min(offset, this.#end));
    let dropped = 0;
    while (dropped < this.#batches.length && this.#batches[dropped]!.lastOffset < this.#earliest) {
      this.#bytes -= this.#batches[dropped]!.bytes;
      dropped++;
    }
    this.#batches.splice(0, dropped);
    this.#notify();
  }

  /** Drops the oldest batch, unless an open transaction needs it. False: nothing was dropped. */
  dropOldest(): boolean {
    const oldest = this.#batches[0];
    if (!oldest || oldest.lastOffset >= this.lastStable) return false;
    this.truncate(oldest.lastOffset + 1);
    return true;
  }

  /**
   * Keeps of each key the newest committed record, as `cleanup.policy=compact` does. Offsets stay; gaps appear. Markers
   * go too, for here a batch knows itself what became of its transaction.
   */
  compact(): void {
    const bound = this.lastStable;
    const seen = new Set<string>();
    for (let i = this.#batches.length - 1; i >= 0; i--) {
      const batch = this.#batches[i]!;
      if (batch.baseOffset >= bound) continue;
      const kept = batch.state === 'aborted' ? [] : newestOfEachKey(batch.records, seen);
      if (kept.length === batch.records.length && kept.length > 0) continue;
      this.#bytes -= batch.bytes;
      // Copied, for a kept view would hold the buffer of the whole old batch.
      batch.records = kept.flatMap((record) => copyRecords([record], record.offset, record.timestampMs));
      batch.bytes = kept.length === 0 ? 0 : batchBytes(kept);
      this.#bytes += batch.bytes;
    }
    this.#batches = this.#batches.filter((batch) => batch.bytes > 0 || batch.baseOffset >= bound);
  }

  #push(batch: Batch): void {
    this.#batches.push(batch);
    this.#end = batch.lastOffset + 1;
    this.#bytes += batch.bytes;
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Index of the first batch that ends at or after the offset. */
  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#batches[middle]!.lastOffset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** `seen` holds the keys of newer records, and gets those of these. */
function newestOfEachKey(records: readonly StoredRecord[], seen: Set<string>): readonly StoredRecord[] {
  const kept: StoredRecord[] = [];
  for (const record of records.toReversed()) {
    const key = Buffer.from(record.key ?? []).toString('latin1');
    if (!seen.has(key)) kept.push(record);
    seen.add(key);
  }
  return kept.reverse();
}
