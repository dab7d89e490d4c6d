/** A ring epoch as the control log holds the first one: whole. Later ones are what changes have made of it. */

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { z } from 'zod';
import { WeirError } from '../errors.ts';
import { hashOfText, hashText } from '../kernels/hash/kernel.ts';
import { MAX_OVERRIDES } from '../kernels/split/kernel.ts';
import { bySignal, type Signal } from '../signals.ts';
import { overrideSchema, shardSchema } from './ring-change.ts';
import { type RingEpoch, type SignalRing, slotOwners, UNTOUCHED } from './ring-epoch.ts';
import { slotTableBytes, slotTableOf } from './slot-table.ts';

const signalRing = z.object({
  key: z.string(),
  slotBits: z.union([z.literal(16), z.literal(18)]),
  shards: z.array(shardSchema).min(1),
  /** Owner of each slot: base64 of deflate-raw of u16 LE. Runs of a shard make it small: 256 shards on 2^18 slots take about 450 KB. */
  slotTable: z.string(),
  /** 16 hex digits of XXH64 of the key. */
  overrides: z.array(overrideSchema).max(MAX_OVERRIDES),
});

export const signalRingsSchema = z.object({ traces: signalRing, metrics: signalRing, logs: signalRing });
export type EncodedRings = z.infer<typeof signalRingsSchema>;

export function encodeRings({ signals }: RingEpoch): EncodedRings {
  const encode = (of: SignalRing): EncodedRings[Signal] => ({
    key: of.key,
    slotBits: of.slotBits,
    shards: of.shards.map(({ id, name, topic, weight }) => ({ id, name, topic, weight })),
    slotTable: deflateRawSync(slotTableBytes(of.slots)).toString('base64'),
    overrides: [...of.overrides].map(([hash, shard]) => ({ keyHash: hashText(hash), shard })),
  });
  return bySignal((signal) => encode(signals[signal]));
}

/** Throws CONTROL_LOG_UNREADABLE when a table does not have a slot for each, or a slot without an owner. */
export function ringOf(epoch: number, encoded: EncodedRings): RingEpoch {
  const signals = bySignal((signal) => decodeSignal(epoch, signal, encoded[signal]));
  return { epoch, signals, touched: UNTOUCHED };
}

function decodeSignal(epoch: number, signal: Signal, of: EncodedRings[Signal]): SignalRing {
  const damaged = (what: string, cause?: unknown) =>
    new WeirError(
      'CONTROL_LOG_UNREADABLE',
      `reading ring epoch ${epoch}: the slot table of ${signal} ${what}. The control log is damaged: restore it, or start with another prefix`,
      { cause },
    );
  const slotCount = 2 ** of.slotBits;
  let bytes: Buffer;
  try {
    bytes = inflateRawSync(Buffer.from(of.slotTable, 'base64'), { maxOutputLength: slotCount * 2 });
  } catch (cause) {
    throw damaged('cannot be unpacked', cause);
  }
  if (bytes.length !== slotCount * 2) throw damaged(`has ${bytes.length / 2} slots, not ${slotCount}`);
  const slots = slotTableOf(bytes);
  const known = new Set(of.shards.map((shard) => shard.id));
  for (const shard of slotOwners(slots))
    if (!known.has(shard)) throw damaged(`gives slots to shard ${shard}, which is none`);
  return {
    key: of.key,
    slotBits: of.slotBits,
    slots,
    shards: of.shards,
    overrides: new Map(of.overrides.map(({ keyHash, shard }) => [hashOfText(keyHash), shard])),
  };
}
