import type { Headers, Poll, Value } from '../port.ts';
import type { FetchedRecords } from './fetched-records.ts';

/** Part of the records of one fetch, as a lease. */
export class LeasedPoll implements Poll {
  readonly topic: string;
  readonly partition: number;
  readonly count: number;
  readonly bytes: number;
  readonly nextOffset: bigint;
  readonly #from: number;
  readonly #poison: boolean;
  #records: FetchedRecords | undefined;

  private constructor(
    at: { topic: string; partition: number },
    records: FetchedRecords,
    from: number,
    count: number,
    bytes: number,
    poison: boolean,
  ) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.#records = records;
    records.hold();
    this.#from = from;
    this.#poison = poison;
    this.count = count;
    this.bytes = bytes;
    const end = from + count;
    // Between the last record and the next visible one there are only control and aborted records.
    this.nextOffset = BigInt(end < records.count ? records.offset(end) : records.nextOffset);
  }

  /** As many records from `from` on as the limits allow, at least one if there is one. */
  static cut(
    at: { topic: string; partition: number },
    records: FetchedRecords,
    from: number,
    limits: { maxRecords: number; maxBytes: number; poison: boolean },
  ): LeasedPoll {
    const last = Math.min(records.count, from + limits.maxRecords);
    let end = from;
    let bytes = 0;
    for (; end < last; end++) {
      const more = records.valueBytes(end);
      if (end > from && bytes + more > limits.maxBytes) break;
      bytes += more;
    }
    return new LeasedPoll(at, records, from, end - from, bytes, limits.poison);
  }

  offset(index: number): bigint {
    return BigInt(this.#at(index).offset(this.#from + index));
  }

  timestampMs(index: number): number {
    return this.#at(index).timestampMs(this.#from + index);
  }

  value(index: number): Value {
    return this.#at(index).value(this.#from + index);
  }

  key(index: number): Value {
    return this.#at(index).key(this.#from + index);
  }

  headers(index: number): Headers {
    return this.#at(index).headers(this.#from + index);
  }

  release(): void {
    const records = this.#records;
    if (!records) return;
    this.#records = undefined;
    if (this.#poison) for (let index = 0; index < this.count; index++) records.poison(this.#from + index);
    records.release();
  }

  #at(index: number): FetchedRecords {
    if (!this.#records) throw new Error(`a poll of ${this.topic}/${this.partition} was used after its release`);
    if (!(index >= 0 && index < this.count)) throw new RangeError(`record ${index} of a poll of ${this.count}`);
    return this.#records;
  }
}
