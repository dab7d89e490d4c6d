/**
 * Load reports as protobuf (`proto/weir/v1/load.proto` has the field table). Written by hand: rows can be measured one by one, so that
 * a report is split where it has to be.
 */
import { ProtobufError, ProtobufReader } from '../protobuf/reader.ts';
import { ProtobufWriter } from '../protobuf/writer.ts';
import type { Signal } from '../signals.ts';
import {
  type InstanceLoad,
  type KeyLoad,
  type LoadReport,
  MAX_REPORT_BYTES,
  type PartitionLag,
  type Reporter,
  ROLES,
  type ShardLoad,
  type SignalLoad,
  type SlotLoad,
  type Usage,
} from './load-report.ts';

const SIGNAL_NUMBERS: Readonly<Record<Signal, number>> = { traces: 1, metrics: 2, logs: 3 };
const SIGNAL_NAMES: readonly (Signal | undefined)[] = [undefined, 'traces', 'metrics', 'logs'];

/** All that is encoded here: whatever it is, it is done before the next begins. */
const out = new ProtobufWriter(MAX_REPORT_BYTES);

export function encodeLoadReport(report: LoadReport): Uint8Array {
  const { reporter } = report;
  out.clear();
  out.message(1, () => {
    string(1, reporter.id);
    string(2, reporter.role);
    string(3, reporter.version);
  });
  uint(2, report.fromUnixMs);
  uint(3, report.toUnixMs);
  uint(4, report.ringEpoch);
  uint(5, report.part);
  uint(6, report.parts);
  for (const { signal, shards, instances, slots } of report.signals) {
    out.message(7, () => {
      uint(1, SIGNAL_NUMBERS[signal]);
      for (const shard of shards) out.message(2, () => writeShard(shard));
      for (const instance of instances) out.message(3, () => writeInstance(instance));
      if (slots) out.message(4, () => writeSlots(slots));
    });
  }
  for (const lag of report.lag) out.message(8, () => writeLag(lag));
  uint(9, report.instancesLeftOut);
  const { usage } = report;
  if (usage)
    out.message(10, () => {
      double(1, usage.cpuCores);
      uint(2, usage.rssBytes);
    });
  uint(11, report.acceptedItems);
  uint(12, report.acceptedBytes);
  uint(13, report.leaving ? 1 : 0);
  return out.finish();
}

/** How many bytes a row takes in a report, without its own tag and length. */
export const shardBytes = (shard: ShardLoad): number => measure(() => writeShard(shard));
export const instanceBytes = (instance: InstanceLoad): number => measure(() => writeInstance(instance));
export const slotsBytes = (slots: SlotLoad): number => measure(() => writeSlots(slots));
export const lagBytes = (lag: PartitionLag): number => measure(() => writeLag(lag));

function measure(write: () => void): number {
  out.clear();
  write();
  return out.lengthBytes;
}

function writeShard(shard: ShardLoad): void {
  uint(1, shard.shard);
  uint(2, shard.items);
  uint(3, shard.bytes);
  uint(4, shard.errors);
  double(5, shard.latencySumNs);
  double(6, shard.latencyMinNs);
  double(7, shard.latencyMaxNs);
}

function writeInstance(instance: InstanceLoad): void {
  string(1, instance.service);
  string(2, instance.instance);
  uint(3, instance.items);
  uint(4, instance.bytes);
  uint(5, instance.requests);
  uint(6, instance.requestErrors);
  double(7, instance.requestLatencySumNs);
  packedPairs(8, 9, instance.requestLatency);
  // With presence: 0 is told, too.
  if (instance.cpuUtilisation !== null) out.double(10, instance.cpuUtilisation);
  if (instance.memoryUtilisation !== null) out.double(11, instance.memoryUtilisation);
}

function writeSlots(slots: SlotLoad): void {
  uint(1, slots.fromUnixMs);
  uint(2, slots.toUnixMs);
  packedPairs(3, 4, slots.slotBytes);
  uint(5, slots.restSlots);
  uint(6, slots.restBytes);
  for (const { keyHash, bytes, errorBytes, name } of slots.keys)
    out.message(14, () => {
      string(1, keyHash);
      uint(2, bytes);
      uint(3, errorBytes);
      string(4, name);
    });
}

function writeLag(lag: PartitionLag): void {
  string(1, lag.topic);
  uint(2, lag.partition);
  uint(3, lag.records);
}

// Without presence, as proto3 has it: a default value is left out.

/** A whole number from 0 to 2^53 - 1. */
function uint(field: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a whole number from 0: ${value}`);
  if (value !== 0) out.varint(field, value);
}

function double(field: number, value: number): void {
  if (value !== 0) out.double(field, value);
}

function string(field: number, value: string): void {
  if (value !== '') out.string(field, value);
}

/** key, value, key, value, …: all keys in one field, all values in another. */
function packedPairs(keyField: number, valueField: number, pairs: readonly number[]): void {
  if (pairs.length === 0) return;
  out.packed(
    keyField,
    pairs.filter((_, i) => i % 2 === 0),
  );
  out.packed(
    valueField,
    pairs.filter((_, i) => i % 2 === 1),
  );
}

/** Fields, signals and roles of later versions are left out. Throws ProtobufError on bytes that are no report. */
export function decodeLoadReport(bytes: Uint8Array): LoadReport | null {
  const reader = new ProtobufReader(bytes);
  const reporter = { id: '', role: '', version: '' };
  const signals: SignalLoad[] = [];
  const lag: PartitionLag[] = [];
  const numbers = {
    ...{ fromUnixMs: 0, toUnixMs: 0, ringEpoch: 0, part: 0, parts: 0, instancesLeftOut: 0 },
    ...{ acceptedItems: 0, acceptedBytes: 0 },
  };
  let usage: Usage | null = null;
  let leaving = false;
  while (reader.next()) {
    if (reader.field === 1) {
      const inner = reader.message();
      while (inner.next()) {
        if (inner.field === 1) reporter.id = inner.string();
        else if (inner.field === 2) reporter.role = inner.string();
        else if (inner.field === 3) reporter.version = inner.string();
      }
    } else if (reader.field === 2) numbers.fromUnixMs = reader.uint();
    else if (reader.field === 3) numbers.toUnixMs = reader.uint();
    else if (reader.field === 4) numbers.ringEpoch = reader.uint();
    else if (reader.field === 5) numbers.part = reader.uint();
    else if (reader.field === 6) numbers.parts = reader.uint();
    else if (reader.field === 7) {
      const signal = decodeSignal(reader.message());
      if (signal) signals.push(signal);
    } else if (reader.field === 8) lag.push(decodeLag(reader.message()));
    else if (reader.field === 9) numbers.instancesLeftOut = reader.uint();
    else if (reader.field === 10) usage = decodeUsage(reader.message());
    else if (reader.field === 11) numbers.acceptedItems = reader.uint();
    else if (reader.field === 12) numbers.acceptedBytes = reader.uint();
    else if (reader.field === 13) leaving = reader.uint() !== 0;
  }
  if (!(ROLES as readonly string[]).includes(reporter.role)) return null;
  return { reporter: reporter as Reporter, ...numbers, signals, lag, usage, leaving };
}

function decodeUsage(reader: ProtobufReader): Usage {
  const usage = { cpuCores: 0, rssBytes: 0 };
  while (reader.next()) {
    if (reader.field === 1) usage.cpuCores = reader.double();
    else if (reader.field === 2) usage.rssBytes = reader.uint();
  }
  return usage;
}

function decodeSignal(reader: ProtobufReader): SignalLoad | null {
  let signal: Signal | undefined;
  const shards: ShardLoad[] = [];
  const instances: InstanceLoad[] = [];
  let slots: SlotLoad | null = null;
  while (reader.next()) {
    if (reader.field === 1) signal = SIGNAL_NAMES[reader.uint()];
    else if (reader.field === 2) shards.push(decodeShard(reader.message()));
    else if (reader.field === 3) instances.push(decodeInstance(reader.message()));
    else if (reader.field === 4) slots = decodeSlots(reader.message());
  }
  return signal === undefined ? null : { signal, shards, instances, slots };
}

function decodeShard(reader: ProtobufReader): ShardLoad {
  const load = { shard: 0, items: 0, bytes: 0, errors: 0, latencySumNs: 0, latencyMinNs: 0, latencyMaxNs: 0 };
  while (reader.next()) {
    if (reader.field === 1) load.shard = reader.uint();
    else if (reader.field === 2) load.items = reader.uint();
    else if (reader.field === 3) load.bytes = reader.uint();
    else if (reader.field === 4) load.errors = reader.uint();
    else if (reader.field === 5) load.latencySumNs = reader.double();
    else if (reader.field === 6) load.latencyMinNs = reader.double();
    else if (reader.field === 7) load.latencyMaxNs = reader.double();
  }
  return load;
}

function decodeInstance(reader: ProtobufReader): InstanceLoad {
  const load = {
    service: '',
    instance: '',
    items: 0,
    bytes: 0,
    requests: 0,
    requestErrors: 0,
    requestLatencySumNs: 0,
    cpuUtilisation: null as number | null,
    memoryUtilisation: null as number | null,
  };
  const buckets: number[] = [];
  const counts: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) load.service = reader.string();
    else if (reader.field === 2) load.instance = reader.string();
    else if (reader.field === 3) load.items = reader.uint();
    else if (reader.field === 4) load.bytes = reader.uint();
    else if (reader.field === 5) load.requests = reader.uint();
    else if (reader.field === 6) load.requestErrors = reader.uint();
    else if (reader.field === 7) load.requestLatencySumNs = reader.double();
    else if (reader.field === 8) reader.numbers(buckets);
    else if (reader.field === 9) reader.numbers(counts);
    else if (reader.field === 10) load.cpuUtilisation = reader.double();
    else if (reader.field === 11) load.memoryUtilisation = reader.double();
  }
  return { ...load, requestLatency: zip(buckets, counts) };
}

function decodeSlots(reader: ProtobufReader): SlotLoad {
  const load = { fromUnixMs: 0, toUnixMs: 0, restSlots: 0, restBytes: 0 };
  const slots: number[] = [];
  const bytes: number[] = [];
  const keys: KeyLoad[] = [];
  while (reader.next()) {
    if (reader.field === 1) load.fromUnixMs = reader.uint();
    else if (reader.field === 2) load.toUnixMs = reader.uint();
    else if (reader.field === 3) reader.numbers(slots);
    else if (reader.field === 4) reader.numbers(bytes);
    else if (reader.field === 5) load.restSlots = reader.uint();
    else if (reader.field === 6) load.restBytes = reader.uint();
    else if (reader.field === 14) keys.push(decodeKey(reader.message()));
  }
  return { ...load, slotBytes: zip(slots, bytes), keys };
}

function decodeKey(reader: ProtobufReader): KeyLoad {
  const load = { keyHash: '', bytes: 0, errorBytes: 0, name: '' };
  while (reader.next()) {
    if (reader.field === 1) load.keyHash = reader.string();
    else if (reader.field === 2) load.bytes = reader.uint();
    else if (reader.field === 3) load.errorBytes = reader.uint();
    else if (reader.field === 4) load.name = reader.string();
  }
  if (!/^[0-9a-f]{16}$/.test(load.keyHash)) throw new ProtobufError(`a key hash of "${load.keyHash}"`);
  return load;
}

function decodeLag(reader: ProtobufReader): PartitionLag {
  const lag = { topic: '', partition: 0, records: 0 };
  while (reader.next()) {
    if (reader.field === 1) lag.topic = reader.string();
    else if (reader.field === 2) lag.partition = reader.uint();
    else if (reader.field === 3) lag.records = reader.uint();
  }
  return lag;
}

function zip(first: readonly number[], second: readonly number[]): number[] {
  if (first.length !== second.length) throw new ProtobufError(`${first.length} keys, but ${second.length} values`);
  return first.flatMap((key, i) => [key, second[i]!]);
}
