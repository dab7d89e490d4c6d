/** Shards as `weir inspect shards`, `weir shards list` and `weir shards show` show them. */
import type { ShardDocument, ShardsDocument } from '../api/documents.ts';
import { bytes, percent, rate } from './figures.ts';
import { table } from './table.ts';

export function shardsText({ ringEpoch, windowSeconds, shards, signals }: ShardsDocument): string {
  if (ringEpoch === null)
    return 'There is no ring epoch yet: the first controller writes it, or `weir topics --create`.\n';
  const since = windowSeconds === 0 ? 'no load reports lately' : `load over the last ${windowSeconds.toFixed(0)} s`;
  const ofSignals = signals.map((of) => signalRow(of, shards));
  return `Ring epoch ${ringEpoch}; ${since}\n${table(shards.map(shardRow), SHARD_HEAD)}\n${table(ofSignals, SIGNAL_HEAD)}`;
}

const SHARD_HEAD = [
  ...['shard', 'topic', 'slots', 'share', 'capacity'],
  ...['items/s', 'bytes/s', 'x mean', 'full', 'CPU', 'memory', 'health'],
];

function shardRow({ name, topic, slots, share, capacity, current_load: load, health_status: health }: ShardDocument) {
  return [
    ...[name, topic, slots, percent(share), capacity],
    ...[rate(load.items_per_second), bytes(load.bytes_per_second), load.relative.toFixed(2), percent(load.fill)],
    load.cpu_cores === null ? '-' : percent(load.cpu_cores),
    load.memory_bytes === null ? '-' : bytes(load.memory_bytes),
    health,
  ];
}

const SIGNAL_HEAD = ['signal', 'shards', 'bytes/s', 'full', 'max/mean', 'variation', 'Gini', 'hot shards'];

function signalRow(of: ShardsDocument['signals'][number], all: ShardsDocument['shards']) {
  const { signal, shards, bytesPerSecond, fill, maxOverMean, coefficientOfVariation, gini, hotShards } = of;
  const [most, variation, unevenness] = [maxOverMean, coefficientOfVariation, gini].map((value) => value.toFixed(2));
  const named = hotShards.map((id) => all.find((shard) => shard.signal === signal && shard.id === id)!.name);
  const hot = named.length === 0 ? 'none' : named.join(', ');
  return [signal, shards, bytes(bytesPerSecond), percent(fill), most!, variation!, unevenness!, hot];
}

/** Ranges that a text shows; the JSON has all. */
const MAX_RANGES = 8;

/** One shard with all that there is to say of it. */
export function shardText(shard: ShardDocument, windowSeconds: number): string {
  const { id, name, signal, topic, slots, share, capacity, range, current_load: load, health_status: health } = shard;
  const { start_key: first, end_key: last, hash_range: ranges } = range;
  const usage = [
    ...(load.cpu_cores === null ? [] : [`CPU ${percent(load.cpu_cores)}`]),
    ...(load.memory_bytes === null ? [] : [`memory ${bytes(load.memory_bytes)}`]),
  ];
  const measured = [
    `${rate(load.items_per_second)} items/s, ${bytes(load.bytes_per_second)}/s`,
    `${load.relative.toFixed(2)} times its fair share, ${percent(load.fill)} full`,
    ...usage,
  ].join('; ');
  const lines = [
    ['shard', `${name} (id ${id}, ${signal})`],
    ['topic', topic],
    ['capacity', String(capacity)],
    ['slots', `${slots} (${percent(share)} of all)`],
    ['load', windowSeconds === 0 ? 'no load reports lately' : `${measured} (over ${windowSeconds.toFixed(0)} s)`],
    ['health', health],
    ['hashes', first === null ? 'none' : `${ranges.length} ranges from ${first} to ${last}, both ends included`],
    ...ranges.slice(0, MAX_RANGES).map(([from, to]) => ['', `${from} - ${to}`]),
    ...(ranges.length > MAX_RANGES ? [['', `… and ${ranges.length - MAX_RANGES} more: --json has all`]] : []),
  ];
  return lines.map(([head, text]) => `${head!.padEnd(10)}${text}\n`).join('');
}
