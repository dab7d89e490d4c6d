/**
 * The migration that goes with a change of the ring: what the moved slots got in the last `carryMs` before it is copied from their old shards to
 * their new ones, so that a trace shorter than that is whole in its new shard. It runs when every partition has adopted the change: by then all that
 * its slots will ever get is in the old shards.
 *
 * Copies go on with the slots when those move again, but not back into a shard that they came through: it has the items.
 *
 * Exactly once, whoever leads: one sink for each old shard, whose transactions hold the copies and how far the old shard is copied. A later leader
 * fences the sink of the former, reads that offset and goes on from there.
 */
import { abortable } from '../abortable.ts';
import type { Config } from '../config.ts';
import { type RingEpoch, type SignalRing, selectorOf } from '../coordination/ring-epoch.ts';
import type { ProposedRing } from '../coordination/state.ts';
import { passCorrupt } from '../kafka/pass-corrupt.ts';
import type { Headers, KafkaPort, Poll, TransactionalSink } from '../kafka/port.ts';
import type { Routing, SplitKernel, SplitLimits } from '../kernels/split/kernel.ts';
import type { Names } from '../names.ts';
import { groupByKeptHeaders, headerBytes } from '../pipeline/kept-headers.ts';
import { RECORD_OVERHEAD_BYTES } from '../pipeline/transact.ts';
import { SIGNALS, type Signal } from '../signals.ts';

export interface CarryOptions {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly config: Pick<Config, 'routing' | 'poll' | 'kafka'>;
  readonly kernel: SplitKernel;
}

/** Copies, by all leaders that have been at it. */
export interface Carried {
  readonly items: number;
  readonly bytes: number;
}

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const POLL_WAIT_MS = 500;
/** Records of several producers are not quite in the order of their times. */
const DISORDER_MS = 1_000;
/** So close to the first record of the window is close enough: the rest is read and found to be older. */
const NEAR_OFFSETS = 64n;
const text = new TextEncoder();
/** Of a copy: ids of the shards that had its items before, in their order. */
const THROUGH_HEADER = 'weir-migrated-through';

/** Rejects with the signal's reason when that is aborted, and when a transaction fails: what is committed stands, and another run goes on from there. */
export async function carryItems(
  options: CarryOptions,
  base: RingEpoch,
  proposed: ProposedRing,
  signal: AbortSignal,
): Promise<Carried> {
  let [items, bytes] = [0, 0];
  for (const of of SIGNALS) {
    for (const from of losers(proposed, of)) {
      const carried = await carryShard(options, base, proposed, of, from, signal);
      items += carried.items;
      bytes += carried.bytes;
    }
  }
  return { items, bytes };
}

function losers({ change }: ProposedRing, signal: Signal): ReadonlySet<number> {
  return new Set(change[signal]?.moves.map(({ from }) => from));
}

async function carryShard(
  { port, names, config, kernel }: CarryOptions,
  base: RingEpoch,
  proposed: ProposedRing,
  of: Signal,
  from: number,
  signal: AbortSignal,
): Promise<Carried> {
  const topic = names.shard(of, from);
  const { epoch } = proposed.ring;
  const routing = carryRouting(base.signals[of], proposed.ring.signals[of], from);
  const limits = await outputLimits(port, proposed.ring.signals[of]);
  const { transactionTimeoutMs } = config.kafka;
  const sink = await port.openSink({
    ...{ fencingKey: names.carryKey(topic), groupId: names.carryGroup, transactionTimeoutMs, signal },
  });
  const reader = port.reader({ topic, partition: 0 }, { maxPollBytes: config.poll.maxBytes });
  try {
    const until = await endOf(port, topic);
    const committed = await abortable(port.admin.committedOffset(names.carryGroup, { topic, partition: 0 }), signal);
    const before = progressOf(committed.metadata, epoch);
    let carried: Carried = before ?? { items: 0, bytes: 0 };
    if (before) await reader.seek(committed.offset!);
    else await seekTime(reader, until, proposed.at - proposed.carryMs - DISORDER_MS);
    while (reader.position < until) {
      signal.throwIfAborted();
      const outcome = await reader.poll(POLL_WAIT_MS);
      // Retention was quicker: what is gone cannot be copied.
      if (outcome.kind === 'out-of-range') await reader.seek('earliest');
      if (outcome.kind === 'corrupt') await passCorrupt(reader, outcome.batch);
      if (outcome.kind !== 'poll') continue;
      const { poll } = outcome;
      try {
        carried = await carryPoll(poll, carried);
      } finally {
        poll.release();
      }
    }
    return carried;
  } finally {
    await reader.close();
    await sink.close();
  }

  async function carryPoll(poll: Poll, before: Carried): Promise<Carried> {
    let carried = before;
    for (let at = 0; at < poll.count; ) {
      const through = throughOf(poll, at);
      const { count, groups, headers } = groupByKeptHeaders(poll, at, config.routing.keepHeaders);
      const alike = alikeFrom(poll, at, at + count);
      const values = Array.from({ length: alike - at }, (_, i) => poll.value(at + i));
      const maxRecordBytes = limits.maxRecordBytes - Math.max(...headers.map(headerBytes));
      const result = await kernel.split(of, { values, groups }, { ...limits, maxRecordBytes }, routing);
      try {
        const to = at + result.taken;
        const source = `${topic}/0/${poll.offset(at)}-${poll.offset(to - 1)}`;
        const path = [...through, from];
        for (const { shard, group, value } of result.outputs)
          if (!path.includes(shard))
            sink.stage(names.shard(of, shard), 0, value, copyHeaders(epoch, source, path, headers[group]!));
        const copied = result.aggregates.shards.filter(({ shard }) => !path.includes(shard));
        carried = {
          items: copied.reduce((sum, { items }) => sum + items, carried.items),
          bytes: copied.reduce((sum, { bytes }) => sum + bytes, carried.bytes),
        };
        await commit(sink, to === poll.count ? poll.nextOffset : poll.offset(to), carried);
        at = to;
      } finally {
        result.release();
      }
    }
    return carried;
  }

  async function commit(into: TransactionalSink, offset: bigint, carried: Carried): Promise<void> {
    const metadata = progress(epoch, carried);
    const outcome = await into.commit([{ topic, partition: 0, offset, metadata }]);
    if (outcome.kind !== 'committed')
      throw new Error(`copying from ${topic}: ${outcome.cause.message}`, { cause: outcome.cause });
  }
}

/** Sends what the change takes from the shard to where it goes, and all else to the shard itself. */
export function carryRouting(base: SignalRing, next: SignalRing, from: number): Routing {
  const slots = base.slots.map((owner, slot) => (owner === from ? next.slots[slot]! : from));
  const shift = BigInt(64 - base.slotBits);
  const ownerIn = (ring: SignalRing, hash: bigint) => ring.overrides.get(hash) ?? ring.slots[Number(hash >> shift)]!;
  const hashes = [...base.overrides.keys(), ...next.overrides.keys()];
  const overrides = new Map(
    hashes.map((hash) => [hash, ownerIn(base, hash) === from ? ownerIn(next, hash) : from] as const),
  );
  const shardCount = Math.max(from, ...next.shards.map(({ id }) => id)) + 1;
  return { selector: selectorOf(base.key), slotBits: base.slotBits, slots, shardCount, overrides };
}

/**
 * Behind the last record, of open transactions too. The last stable offset would not do: a transaction that is under way may hold it back
 * before records of others which have committed by the old tables.
 */
async function endOf(port: KafkaPort, topic: string): Promise<bigint> {
  const reader = port.reader({ topic, partition: 0 }, { isolation: 'read_uncommitted' });
  try {
    await reader.seek('latest');
    return reader.position;
  } finally {
    await reader.close();
  }
}

async function outputLimits({ admin }: KafkaPort, { shards }: SignalRing): Promise<SplitLimits> {
  const topics = await admin.describeTopics(shards.map(({ topic }) => topic));
  const maxMessageBytes = Math.min(...topics.map(({ config }) => Number(config['max.message.bytes'])));
  return { maxRecordBytes: maxMessageBytes - RECORD_OVERHEAD_BYTES, maxOutputBytes: MAX_OUTPUT_BYTES };
}

function copyHeaders(epoch: number, source: string, path: readonly number[], kept: Headers): Headers {
  return [
    ['weir-ring-epoch', text.encode(String(epoch))],
    ['weir-migrated-from', text.encode(source)],
    [THROUGH_HEADER, text.encode(path.join(' '))],
    ...kept,
  ];
}

function throughOf(poll: Poll, index: number): readonly number[] {
  const header = poll.headers(index).find(([name]) => name === THROUGH_HEADER);
  return header ? Buffer.from(header[1]).toString().split(' ').map(Number) : [];
}

/** Behind the last of the records [from, end) that have come the same way as the first. */
function alikeFrom(poll: Poll, from: number, end: number): number {
  const way = throughOf(poll, from).join(' ');
  let to = from + 1;
  while (to < end && throughOf(poll, to).join(' ') === way) to++;
  return to;
}

const progress = (epoch: number, { items, bytes }: Carried) => `carry=${epoch} items=${items} bytes=${bytes}`;

/** null: of another change, or none. */
function progressOf(metadata: string, epoch: number): Carried | null {
  const match = /^carry=(\d+) items=(\d+) bytes=(\d+)$/.exec(metadata);
  return match && Number(match[1]) === epoch ? { items: Number(match[2]), bytes: Number(match[3]) } : null;
}

/** By bisection, as records are in the order of their times but for DISORDER_MS. Ends at or shortly before the first that is not older. */
async function seekTime(reader: ReturnType<KafkaPort['reader']>, end: bigint, unixMs: number): Promise<void> {
  await reader.seek('earliest');
  let low = reader.position;
  let high = end;
  while (high - low > NEAR_OFFSETS) {
    const middle = (low + high) / 2n;
    await reader.seek(middle);
    const outcome = await reader.poll(POLL_WAIT_MS);
    if (outcome.kind !== 'poll') break;
    const { poll } = outcome;
    const older = poll.count > 0 && poll.timestampMs(0) < unixMs;
    poll.release();
    if (older) low = middle;
    else high = middle;
  }
  await reader.seek(low);
}
