import type { TopicPartition } from '../port.ts';
import type { ClusterView } from './cluster.ts';
import { fetchInto } from './fetch.ts';
import { FetchedBatches } from './fetched-batches.ts';
import { FramePool } from './frame-pool.ts';
import type { Links } from './links.ts';
import { BrokerError, ConnectionFault } from './outcomes.ts';

/** So many offsets or fewer are counted by reading them; beyond, every offset counts as a record. */
const COUNTED_OFFSETS = 256n;
const MOST_FETCHES = 8;
const FETCH_BYTES = 1_000_000;

/** Counts what a read_committed reader would get: transaction markers and aborted records take offsets, too, and only reading tells. */
export class RecordCounter {
  readonly #cluster: ClusterView;
  readonly #links: Links;
  /** Keeps one answer's: new ones every few seconds would lie about until the garbage collector comes, which large buffers do not hurry. */
  readonly #frames = new FramePool(1024 * 1024);

  constructor({ cluster, links }: { readonly cluster: ClusterView; readonly links: Links }) {
    this.#cluster = cluster;
    this.#links = links;
  }

  /** From offset `from` up to `until`, which is not among them. Throws ConnectionFault and BrokerError. */
  async count({ topic, partition }: TopicPartition, from: bigint, until: bigint): Promise<bigint> {
    if (until <= from) return 0n;
    if (until - from > COUNTED_OFFSETS) return until - from;
    const end = Number(until);
    let position = Number(from);
    let count = 0;
    for (let fetches = 0; position < end && fetches < MOST_FETCHES; fetches++) {
      const leader = await this.#cluster.requireLeader(topic, partition);
      const { answer, frame } = await fetchInto(this.#frames, await this.#links.to(leader), {
        isolation: 'read_committed',
        maxWaitMs: 0,
        maxBytes: FETCH_BYTES,
        partitions: [{ topic, partition, offset: position, maxBytes: FETCH_BYTES }],
      });
      try {
        const fetched = answer.partitions[0];
        if (!fetched) throw new ConnectionFault(`no answer for ${topic}/${partition}`, { sent: true });
        if (fetched.errorCode !== 0) {
          this.#cluster.forgetLeader(topic);
          throw new BrokerError('Fetch', fetched.errorCode, `${topic}/${partition}`);
        }
        const batches = new FetchedBatches(fetched.records, position, fetched.aborted);
        const before = position;
        for (let records = batches.next(FETCH_BYTES); records.nextOffset > position; ) {
          for (let index = 0; index < records.count; index++) if (records.offset(index) < end) count++;
          position = records.nextOffset;
          records.release();
          records = batches.next(FETCH_BYTES);
        }
        if (position === before) break;
      } finally {
        frame.release();
      }
    }
    return BigInt(count + Math.max(0, end - position));
  }
}
