/**
 * Load reports as protobuf (`proto/weir/v1/load.proto` has the field table). Written by hand: rows are encoded one by one, so that
 * the accumulator knows each row's size and where to split.
 */
import type { Signal } from '../signals.ts';
import type {
  InstanceLoad,
  LoadReport,
  PartitionLag,
  Reporter,
  ShardLoad,
  SignalLoad,
  SlotLoad,
} from './load-report.ts';
import { WireError, WireReader, WireWriter } from './wire.ts';

const SIGNAL_NUMBERS: Readonly<Record<Signal, number>> = { traces: 1, metrics: 2, logs: 3 };
const SIGNAL_NAMES: readonly (Signal | undefined)[] = [undefined, 'traces', 'metrics', 'logs'];
const ROLES: readonly string[] = ['bridge', 'process', 'control', 'deliver'] satisfies Reporter['role'][];

export function encodeLoadReport(report: LoadReport): Uint8Array {
  const out = new WireWriter();
  const reporter = new WireWriter();
  reporter.string(1, report.reporter.id);
  reporter.string(2, report.reporter.role);
  reporter.string(3, report.reporter.version);
  out.bytes(1, reporter.finish());
  out.uint(2, report.fromUnixMs);
  out.uint(3, report.toUnixMs);
  out.uint(4, report.ringEpoch);
  out.uint(5, report.part);
  out.uint(6, report.parts);
  for (const signal of report.signals) {
    const inner = new WireWriter();
    inner.uint(1, SIGNAL_NUMBERS[signal.signal]);
    for (const shard of signal.shards) inner.bytes(2, encodeShard(shard));
    for (const instance of signal.instances) inner.bytes(3, encodeInstance(instance));
    if (signal.slots) inner.bytes(4, encodeSlots(signal.slots));
    out.bytes(7, inner.finish());
  }
  for (const lag of report.lag) out.bytes(8, encodeLag(lag));
  out.uint(9, report.instancesLeftOut);
  return out.finish();
}

export function encodeShard(shard: ShardLoad): Uint8Array {
  const out = new WireWriter();
  out.uint(1, shard.shard);
  out.uint(2, shard.items);
  out.uint(3, shard.bytes);
  out.uint(4, shard.errors);
  out.double(5, shard.latencySumNs);
  out.double(6, shard.latencyMinNs);
  out.double(7, shard.latencyMaxNs);
  return out.finish();
}

export function encodeInstance(instance: InstanceLoad): Uint8Array {
  const out = new WireWriter();
  out.string(1, instance.service);
  out.string(2, instance.instance);
  out.uint(3, instance.items);
  out.uint(4, instance.bytes);
  out.uint(5, instance.requests);
  out.uint(6, instance.requestErrors);
  out.double(7, instance.requestLatencySumNs);
  const [buckets, counts] = unzip(instance.requestLatency);
  out.packed(8, buckets);
  out.packed(9, counts);
  if (instance.cpuUtilisation !== null) out.presentDouble(10, instance.cpuUtilisation);
  if (instance.memoryUtilisation !== null) out.presentDouble(11, instance.memoryUtilisation);
  return out.finish();
}

export function encodeSlots(slots: SlotLoad): Uint8Array {
  const out = new WireWriter();
  out.uint(1, slots.fromUnixMs);
  out.uint(2, slots.toUnixMs);
  const [numbers, bytes] = unzip(slots.slotBytes);
  out.packed(3, numbers);
  out.packed(4, bytes);
  out.uint(5, slots.restSlots);
  out.uint(6, slots.restBytes);
  return out.finish();
}

export function encodeLag(lag: PartitionLag): Uint8Array {
  const out = new WireWriter();
  out.string(1, lag.topic);
  out.uint(2, lag.partition);
  out.uint(3, lag.records);
  return out.finish();
}

/** Fields, signals and roles of later versions are left out. Throws WireError on bytes that are no report. */
export function decodeLoadReport(bytes: Uint8Array): LoadReport | null {
  const reader = new WireReader(bytes);
  const reporter = { id: '', role: '', version: '' };
  const signals: SignalLoad[] = [];
  const lag: PartitionLag[] = [];
  const numbers = { fromUnixMs: 0, toUnixMs: 0, ringEpoch: 0, part: 0, parts: 0, instancesLeftOut: 0 };
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
  }
  if (!ROLES.includes(reporter.role)) return null;
  return { reporter: reporter as Reporter, ...numbers, signals, lag };
}

function decodeSignal(reader: WireReader): SignalLoad | null {
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

function decodeShard(reader: WireReader): ShardLoad {
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

function decodeInstance(reader: WireReader): InstanceLoad {
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

function decodeSlots(reader: WireReader): SlotLoad {
  const load = { fromUnixMs: 0, toUnixMs: 0, restSlots: 0, restBytes: 0 };
  const slots: number[] = [];
  const bytes: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) load.fromUnixMs = reader.uint();
    else if (reader.field === 2) load.toUnixMs = reader.uint();
    else if (reader.field === 3) reader.numbers(slots);
    else if (reader.field === 4) reader.numbers(bytes);
    else if (reader.field === 5) load.restSlots = reader.uint();
    else if (reader.field === 6) load.restBytes = reader.uint();
  }
  return { ...load, slotBytes: zip(slots, bytes) };
}

function decodeLag(reader: WireReader): PartitionLag {
  const lag = { topic: '', partition: 0, records: 0 };
  while (reader.next()) {
    if (reader.field === 1) lag.topic = reader.string();
    else if (reader.field === 2) lag.partition = reader.uint();
    else if (reader.field === 3) lag.records = reader.uint();
  }
  return lag;
}

function unzip(pairs: readonly number[]): [first: number[], second: number[]] {
  const first: number[] = [];
  const second: number[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    first.push(pairs[i]!);
    second.push(pairs[i + 1]!);
  }
  return [first, second];
}

function zip(first: readonly number[], second: readonly number[]): number[] {
  if (first.length !== second.length) throw new WireError(`${first.length} keys, but ${second.length} values`);
  return first.flatMap((key, i) => [key, second[i]!]);
}
