/**
 * Snapshots of the folded control log on `weir.snapshots` (compacted), so that a start does not read the log from its beginning. The leader
 * writes one every SNAPSHOT_EVENTS events, in a transaction of its own: what it holds is what was committed. The log stays the truth; a
 * snapshot of another version is passed over, and a member without one reads the log.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { passCorrupt } from '../kafka/pass-corrupt.ts';
import type { KafkaPort, ProducerRecord } from '../kafka/port.ts';
import { slotTableBytes, slotTableOf } from './slot-table.ts';
import type { ControlState } from './state.ts';

/** Offsets of the control log, transaction markers included, between two snapshots. */
export const SNAPSHOT_EVENTS = 1_000n;
/** Of the shape of ControlState: to be raised with each change of that. */
const VERSION = 5;
const KEY = Buffer.from('control');
const POLL_WAIT_MS = 500;

export function snapshotRecord(topic: string, state: ControlState): ProducerRecord {
  return { topic, partition: 0, key: KEY, value: encodeState(state) };
}

/** The newest that this version can read; null: none, or no such topic. */
export async function readSnapshot(port: KafkaPort, topic: string): Promise<ControlState | null> {
  if ((await port.admin.describeTopics([topic])).length === 0) return null;
  const [offsets] = await port.admin.offsets(topic);
  const end = offsets!.latest;
  const reader = port.reader({ topic, partition: 0 }, { isolation: 'read_committed' });
  let newest: Uint8Array | null = null;
  try {
    await reader.seek('earliest');
    while (reader.position < end) {
      const outcome = await reader.poll(POLL_WAIT_MS);
      // Compaction has been at work under the reader.
      if (outcome.kind === 'out-of-range') await reader.seek('earliest');
      if (outcome.kind === 'corrupt') await passCorrupt(reader, outcome.batch);
      if (outcome.kind !== 'poll') continue;
      const { poll } = outcome;
      for (let i = 0; i < poll.count; i++) {
        const value = poll.value(i);
        if (value && isReadable(value)) newest = Uint8Array.from(value);
      }
      poll.release();
    }
  } finally {
    await reader.close();
  }
  return newest && decodeState(newest);
}

// A line with the version, then the state as JSON, deflated. JSON has no maps, no 64-bit numbers and no tables of slots: these are tagged.

const HEAD = Buffer.from(`weir control state ${VERSION}\n`);

const isReadable = (value: Uint8Array): boolean => HEAD.equals(value.subarray(0, HEAD.length));

export function encodeState(state: ControlState): Uint8Array {
  return Buffer.concat([HEAD, deflateRawSync(JSON.stringify(state, tag))]);
}

export function decodeState(value: Uint8Array): ControlState {
  return JSON.parse(inflateRawSync(value.subarray(HEAD.length)).toString('utf8'), untag);
}

function tag(_key: string, value: unknown): unknown {
  if (value instanceof Map) return { $map: [...value] };
  if (value instanceof Uint16Array) return { $u16: Buffer.from(slotTableBytes(value)).toString('base64') };
  return typeof value === 'bigint' ? { $int: String(value) } : value;
}

function untag(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('$map' in value) return new Map(value.$map as [unknown, unknown][]);
  if ('$int' in value) return BigInt(value.$int as string);
  if ('$u16' in value) return slotTableOf(Buffer.from(value.$u16 as string, 'base64'));
  return value;
}
