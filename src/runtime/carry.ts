/**
 * The migration that goes with a change of the ring: what the moved slots got in the last `carryMs` before it is copied from their old shards to
 * their new ones, so that a trace shorter than that is whole in its new shard. It runs when every partition has adopted the change, and the log says so: by
 * then all that its slots will ever get is in the old shards, and the change is not taken back any more, so there are no copies for one that was.
 *
 * Copies go on with the slots when those move again, but never into a shard that has the items: see `carry-routing.ts`.
 *
 * Exactly once, whoever leads: one sink for each old shard, whose transactions hold the copies and how far the old shard is copied. A later leader
 * fences the sink of the former, reads that offset and goes on from there.
 */
import { abortable } from '../abortable.ts';
import type { Config } from '../config.ts';
import { losersOf } from '../coordination/ring-change.ts';
import type { SignalRing } from '../coordination/ring-epoch.ts';
import type { ControlState, ProposedRing } from '../coordination/state.ts';
import { passCorrupt } from '../kafka/pass-corrupt.ts';
import type { Headers, KafkaPort, Poll, TransactionalSink } from '../kafka/port.ts';
import type { SplitKernel, SplitLimits } from '../kernels/split/kernel.ts';
import type { Names } from '../names.ts';
import { groupByKeptHeaders, headerBytes } from '../pipeline/kept-headers.ts';
import { header, sourcesOf } from '../pipeline/record-headers.ts';
import { RECORD_OVERHEAD_BYTES } from '../pipeline/transact.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { carriedChanges, type Origin } from './carry-changes.ts';
import { carryRoutings } from './carry-routing.ts';
import { splitCarried } from './carry-split.ts';

export interface CarryOptions {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly config: Pick<Config, 'routing' | 'poll' | 'kafka'>;
  readonly kernel: SplitKernel;
}

/** What was copied so far, by all leaders that have worked on it. */
export interface Carried {
  readonly items: number;
  readonly bytes: number;
}

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const POLL_WAIT_MS = 500;
/** Records of several producers may be out of the order of their times by this much. */
const DISORDER_MS = 1_000;
/** How far before the first record of the window the reading may begin: what is older is read and left out. */
const NEAR_OFFSETS = 64n;
/** On a copy: the ring epoch and the shard that its items had when they came. */
const ORIGIN_HEADER = 'weir-migrated-origin';

/** Rejects with the reason of `stop` when that is aborted, and when a transaction fails. What is committed stays, and another run goes on from there. */
export async function carryItems(
  options: CarryOptions,
  proposed: ProposedRing,
  changes: ControlState['changes'],
  stop: AbortSignal,
): Promise<Carried> {
  let [items, bytes] = [0, 0];
  for (const signal of SIGNALS) {
    for (const from of losers(proposed, signal)) {
      const carried = await carryShard(options, proposed, changes, signal, from, stop);
      items += carried.items;
      bytes += carried.bytes;
    }
  }
  return { items, bytes };
}

function losers({ before, change }: ProposedRing, signal: Signal): ReadonlySet<number> {
  const ofSignal = change[signal];
  return ofSignal ? losersOf(before.signals[signal], ofSignal) : new Set();
}

async function carryShard(
  { port, names, config, kernel }: CarryOptions,
  proposed: ProposedRing,
  changes: ControlState['changes'],
  signal: Signal,
  from: number,
  stop: AbortSignal,
): Promise<Carried> {
  const topic = names.shard(signal, from);
  const { epoch } = proposed.ring;
  const [before, next] = [proposed.before.signals[signal], proposed.ring.signals[signal]];
  const inForce = proposed.abandons === null ? before : next;
  const routingOf = carryRoutings(before, next, from, carriedChanges(changes, signal), inForce);
  const limits = await outputLimits(port, next);
  const { transactionTimeoutMs } = config.kafka;
  const sink = await port.openSink({
    fencingKey: names.carryKey(topic),
    groupId: names.carryGroup,
    transactionTimeoutMs,
    signal: stop,
  });
  const reader = port.reader({ topic, partition: 0 }, { maxPollBytes: config.poll.maxBytes });
  try {
    const until = await endOf(port, topic);
    const committed = await abortable(port.admin.committedOffset(names.carryGroup, { topic, partition: 0 }), stop);
    const progress = progressOf(committed.metadata, epoch);
    let carried: Carried = progress ?? { items: 0, bytes: 0 };
    if (progress) await reader.seek(committed.offset!);
    else await seekTime(reader, until, proposed.carryFrom! - DISORDER_MS);
    while (reader.position < until) {
      stop.throwIfAborted();
      const outcome = await reader.poll(POLL_WAIT_MS);
      // Retention was quicker: what is gone cannot be copied.
      if (outcome.kind === 'out-of-range') await reader.seek('earliest');
      if (outcome.kind === 'corrupt') await passCorrupt(reader, outcome.batch);
      if (outcome.kind !== 'poll') continue;
      const { poll } = outcome;
      try {
        stop.throwIfAborted();
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
      const origin = originOf(poll, at, from);
      const { count, groups, headers } = groupByKeptHeaders(poll, at, config.routing.keepHeaders);
      const alike = alikeFrom(poll, at, at + count, from);
      const values = Array.from({ length: alike - at }, (_, i) => poll.value(at + i));
      const maxRecordBytes = limits.maxRecordBytes - Math.max(...headers.map(headerBytes));
      const result = await splitCarried(
        kernel,
        signal,
        { values, groups },
        { ...limits, maxRecordBytes },
        routingOf(origin),
      );
      try {
        const to = at + result.taken;
        const source = sourcesOf(poll, poll.offset(at), poll.offset(to - 1));
        for (const { shard, group, value } of result.outputs)
          if (shard !== from)
            sink.stage(names.shard(signal, shard), 0, value, copyHeaders(epoch, source, origin, headers[group]!));
        const copied = result.loads.filter(({ shard }) => shard !== from);
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
    const metadata = progressText(epoch, carried);
    const outcome = await into.commit([{ topic, partition: 0, offset, metadata }]);
    if (outcome.kind !== 'committed')
      throw new Error(`copying from ${topic}: ${outcome.cause.message}`, { cause: outcome.cause });
  }
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

function copyHeaders(epoch: number, source: string, { ringEpoch, shard }: Origin, kept: Headers): Headers {
  return [
    header('weir-ring-epoch', epoch),
    header('weir-migrated-from', source),
    header(ORIGIN_HEADER, `${ringEpoch}/${shard}`),
    ...kept,
  ];
}

/** Of a record in the shard: its own where it is no copy. */
function originOf(poll: Poll, index: number, shard: number): Origin {
  const headers = new Map(poll.headers(index));
  const said = (name: string) => Buffer.from(headers.get(name) ?? []).toString();
  const [ringEpoch, first] = said(ORIGIN_HEADER).split('/');
  if (first !== undefined) return { ringEpoch: Number(ringEpoch), shard: Number(first) };
  return { ringEpoch: Number(said('weir-ring-epoch')), shard };
}

/** Behind the last of the records [from, end) that have the same origin as the first. */
function alikeFrom(poll: Poll, from: number, end: number, shard: number): number {
  const origin = originOf(poll, from, shard);
  const isSame = (other: Origin) => other.ringEpoch === origin.ringEpoch && other.shard === origin.shard;
  let to = from + 1;
  while (to < end && isSame(originOf(poll, to, shard))) to++;
  return to;
}

const progressText = (epoch: number, { items, bytes }: Carried) => `carry=${epoch} items=${items} bytes=${bytes}`;

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
