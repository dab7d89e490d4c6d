/**
 * Kafka's record batch, format 2: what its reader (`fetched-records.ts`) and its writer (`outgoing-batch.ts`) share. Big-endian; varints are zigzag.
 *
 * | at | field | type |
 * |---|---|---|
 * | 0 | base offset | int64 |
 * | 8 | length of what follows | int32 |
 * | 12 | partition leader epoch | int32 |
 * | 16 | magic = 2 | int8 |
 * | 17 | CRC-32C of all from 21 on | uint32 |
 * | 21 | attributes: bits 0-2 codec, 3 log append time, 4 transactional, 5 control | int16 |
 * | 23 | last offset delta | int32 |
 * | 27 | base timestamp | int64 |
 * | 35 | max timestamp | int64 |
 * | 43 | producer id | int64 |
 * | 51 | producer epoch | int16 |
 * | 53 | base sequence | int32 |
 * | 57 | number of records | int32 |
 * | 61 | records, compressed together if a codec is set | |
 *
 * Record: length varint, attributes int8, timestamp delta varlong, offset delta varint, key length varint (-1: null), key,
 * value length varint (-1: null), value, number of headers varint, then per header: name length varint, name, value length
 * varint (-1: null), value.
 */
import { loadCrc32c } from '../../kernels/index.ts';

/** kafkajs's own, a table look-up a byte, took 40 % of a processor's CPU. */
export const crc32c = await loadCrc32c();

export const FORMAT = 2;
export const HEADER_BYTES = 61;

/** Where in a batch its fields lie. */
export const AT = {
  length: 8,
  leaderEpoch: 12,
  format: 16,
  checksum: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  firstSequence: 53,
  records: 57,
} as const;
/** What the length counts begins here. */
export const COUNTED_FROM = AT.leaderEpoch;
/** What the checksum is of begins here. */
export const CHECKED_FROM = AT.attributes;

/** Bits of the attributes. */
export const CODEC = 0x07;
export const LOG_APPEND_TIME = 0x08;
export const TRANSACTIONAL = 0x10;
export const CONTROL = 0x20;
