/**
 * The split of traces by trace id, as fast as it can be made in JS: assembly/'s algorithm on typed arrays that are made once. It
 * does what the WASM kernel does: the whole check of every span, routing, aggregates by shard, instance and slot, samples of the keys, the limit
 * of outputs, and outputs written from their ends backwards. It is spared the copy in, as it reads the values where they lie;
 * the guesses of the usual order are the same.
 */
import type { PeerSplit, Sharding } from '../peers/protobufjs-split.ts';
import { xxh64Batch16 } from './hash.ts';

const MAX_ITEMS = 65_536;
const MAX_RESOURCES = 16_384;
const MAX_RECORD_BYTES = 8_000_000;
const MAX_DEPTH = 100;
const FRAME_BYTES = 6;

const [KEY_VALUE, ANY_VALUE, ARRAY, KEY_VALUES, EVENT, LINK, SCOPE] = [1, 2, 3, 4, 5, 6, 7];
/** What the LEN fields of a message hold, as NESTED in assembly/nesting.ts. */
const NESTED = new Uint8Array(8 * 16);
NESTED[KEY_VALUE! * 16 + 2] = ANY_VALUE!;
NESTED[ANY_VALUE! * 16 + 5] = ARRAY!;
NESTED[ANY_VALUE! * 16 + 6] = KEY_VALUES!;
NESTED[ARRAY! * 16 + 1] = ANY_VALUE!;
NESTED[KEY_VALUES! * 16 + 1] = KEY_VALUE!;
NESTED[EVENT! * 16 + 3] = KEY_VALUE!;
NESTED[LINK! * 16 + 4] = KEY_VALUE!;
NESTED[SCOPE! * 16 + 3] = KEY_VALUE!;

const LATENCY_BUCKETS = 128;
const KEY_STRIDE_BYTES = 16_384;
const MAX_KEY_SAMPLES = 1_024;
const AGGREGATE = 6;

class Malformed extends Error {}

export function tunedSplit({ slots, shardCount }: Sharding): PeerSplit {
  // Items of the record at hand.
  const itemAt = new Int32Array(MAX_ITEMS);
  const itemBytes = new Int32Array(MAX_ITEMS);
  const itemScope = new Int32Array(MAX_ITEMS);
  const itemFlags = new Uint8Array(MAX_ITEMS);
  const itemLatency = new Float64Array(MAX_ITEMS);
  const keys = new Uint32Array(MAX_ITEMS * 4);
  const hashes = new Int32Array(MAX_ITEMS * 2);
  // Resources, scopes and the runs of their fields, of the poll.
  const resourceRuns = new Int32Array(MAX_RESOURCES + 1);
  const resourceRunsEnd = new Int32Array(MAX_RESOURCES + 1);
  const resourceBytes = new Int32Array(MAX_RESOURCES);
  const resourceInstance = new Int32Array(MAX_RESOURCES);
  const scopeResource = new Int32Array(MAX_ITEMS);
  const scopeBytes = new Int32Array(MAX_ITEMS);
  const scopeRuns = new Int32Array(MAX_ITEMS);
  const scopeRunsEnd = new Int32Array(MAX_ITEMS);
  const runAt = new Int32Array(2 * MAX_ITEMS);
  const runBytes = new Int32Array(2 * MAX_ITEMS);
  // Rows of the shard lists.
  const rowAt = new Int32Array(MAX_ITEMS);
  const rowBytes = new Int32Array(MAX_ITEMS);
  const rowScope = new Int32Array(MAX_ITEMS);
  const rowBefore = new Int32Array(MAX_ITEMS);
  const rowIsFirst = new Uint8Array(MAX_ITEMS);
  const listLast = new Int32Array(shardCount);
  const listScope = new Int32Array(shardCount);
  const listFill = new Float64Array(shardCount);
  // Aggregates.
  const shardSums = new Float64Array(shardCount * AGGREGATE);
  const instanceSums = new Float64Array(4_096 * 10);
  const histograms = new Uint32Array(4_096 * LATENCY_BUCKETS);
  const slotBytes = new Uint32Array(65_536);
  const instances = new Map<string, number>();
  // Keys by samples, as assembly/key-samples.ts draws them; none is named.
  const sampledHashes = new Uint32Array(2 * MAX_KEY_SAMPLES);
  const sampledBytes = new Uint32Array(MAX_KEY_SAMPLES);
  let sampled = 0;
  let nextSample = 0;
  let stride = 0;
  let random = 0;
  let bytesSeen = 0;

  let bytes = Buffer.alloc(0);
  let view = new DataView(bytes.buffer);
  let out = Buffer.alloc(16 << 20);
  let next = 0;
  let runs = 0;
  let rows = 0;
  let scopes = 0;
  let resources = 0;
  let samples = 0;
  let outputBytes = 0;

  function varint(p: number, end: number, most: number): number {
    let value = 0;
    for (let i = 0; i < most && p < end; i++) {
      const byte = bytes[p++]!;
      value += i < 4 ? (byte & 127) << (7 * i) : (byte & 127) * 2 ** (7 * i);
      if (byte < 128) {
        next = p;
        return value;
      }
    }
    throw new Malformed();
  }

  function readTag(p: number, end: number): number {
    if (p < end) {
      const byte = bytes[p]!;
      if (byte < 128 && byte >= 8) {
        next = p + 1;
        return byte;
      }
    }
    const tag = varint(p, end, 5);
    if (tag < 8 || tag >= 2 ** 32) throw new Malformed();
    return tag;
  }

  /** The end of a LEN field's content, which begins at `next`. */
  function readLength(p: number, end: number): number {
    let length = bytes[p]!;
    if (p < end && length < 128) next = p + 1;
    else length = varint(p, end, 5);
    if (length > end - next) throw new Malformed();
    return next + length;
  }

  function skipValue(p: number, end: number, tag: number): number {
    switch (tag & 7) {
      case 0:
        varint(p, end, 10);
        return next;
      case 1:
        if (end - p < 8) throw new Malformed();
        return p + 8;
      case 2:
        return readLength(p, end);
      case 5:
        if (end - p < 4) throw new Malformed();
        return p + 4;
      default:
        throw new Malformed();
    }
  }

  function checkMessage(p: number, end: number, message: number, depth: number): void {
    if (depth > MAX_DEPTH) throw new Malformed();
    while (p < end) {
      const tag = readTag(p, end);
      if ((tag & 7) !== 2) {
        p = skipValue(next, end, tag);
        continue;
      }
      const contentEnd = readLength(next, end);
      const nested = tag < 128 ? NESTED[message * 16 + (tag >> 3)]! : 0;
      if (nested === KEY_VALUE) checkKeyValue(next, contentEnd, depth + 1);
      else if (nested !== 0) checkMessage(next, contentEnd, nested, depth + 1);
      p = contentEnd;
    }
  }

  function checkKeyValue(p: number, end: number, depth: number): void {
    const left = end - p;
    const keyBytes = bytes[p + 1]!;
    if (left >= 6 && bytes[p] === 0x0a && keyBytes < 128 && keyBytes + 6 <= left) {
      let at = p + 2 + keyBytes;
      if (bytes[at] === 0x12) {
        let length = bytes[at + 1]!;
        at += 2;
        if (length >= 128) {
          const more = bytes[at++]!;
          length = more < 128 ? (length & 127) | (more << 7) : end;
        }
        if (at + length === end) {
          const kind = bytes[at];
          if (kind === 0x0a) {
            let text = bytes[at + 1]!;
            at += 2;
            if (text >= 128) {
              const more = bytes[at++]!;
              text = more < 128 ? (text & 127) | (more << 7) : end;
            }
            if (at + text === end) return;
          } else if (kind === 0x18 || kind === 0x10) {
            varint(at + 1, end, 10);
            if (next === end) return;
          } else if (kind === 0x21 && length === 9) return;
        }
      }
    }
    checkMessage(p, end, KEY_VALUE!, depth);
  }

  function keepField(at: number, end: number, firstRun: number): void {
    if (runs > firstRun && runAt[runs - 1]! + runBytes[runs - 1]! === at) {
      runBytes[runs - 1]! += end - at;
      return;
    }
    runAt[runs] = at;
    runBytes[runs++] = end - at;
  }

  /** The text of a resource attribute, for service.name and service.instance.id. */
  function textOf(from: number, end: number, name: string): string {
    for (let p = from; p < end; ) {
      const tag = readTag(p, end);
      if (tag !== 0x0a) {
        p = skipValue(next, end, tag);
        continue;
      }
      p = readLength(next, end);
      const at = next;
      const keyBytes = bytes[at + 1]!;
      if (keyBytes !== name.length || bytes.toString('latin1', at + 2, at + 2 + keyBytes) !== name) continue;
      const value = at + 2 + keyBytes;
      readLength(value + 1, p);
      if (bytes[next] !== 0x0a) continue;
      const textEnd = readLength(next + 1, p);
      return bytes.toString('latin1', next, textEnd);
    }
    return '';
  }

  function walkResource(at: number, end: number): void {
    const firstRun = runs;
    let fieldBytes = 0;
    let service = '';
    let instance = '';
    for (let p = at; p < end; ) {
      const field = p;
      const tag = readTag(p, end);
      p = skipValue(next, end, tag);
      if (tag === 0x12) continue;
      if (tag === 0x0a) {
        const from = next;
        for (let q = from; q < p; ) {
          const inner = readTag(q, p);
          q = skipValue(next, p, inner);
          if (inner === 0x0a) checkKeyValue(next, q, 3);
        }
        service = textOf(from, p, 'service.name');
        instance = textOf(from, p, 'service.instance.id');
      }
      fieldBytes += p - field;
      keepField(field, p, firstRun);
    }
    const resource = resources++;
    resourceRuns[resource] = firstRun;
    resourceRunsEnd[resource] = runs;
    resourceBytes[resource] = fieldBytes;
    const name = `${service}\0${instance}`;
    let index = instances.get(name);
    if (index === undefined) {
      index = instances.size;
      instances.set(name, index);
    }
    resourceInstance[resource] = index;
    for (let p = at; p < end; ) {
      const tag = readTag(p, end);
      p = skipValue(next, end, tag);
      if (tag === 0x12) walkScope(next, p, resource);
    }
  }

  function walkScope(p: number, end: number, resource: number): void {
    const scope = scopes++;
    const firstRun = runs;
    let fieldBytes = 0;
    while (p < end) {
      const field = p;
      const tag = readTag(p, end);
      p = skipValue(next, end, tag);
      if (tag === 0x12) {
        walkSpan(next, p);
        itemAt[samples] = field;
        itemBytes[samples] = p - field;
        itemScope[samples++] = scope;
      } else {
        if (tag === 0x0a) checkMessage(next, p, SCOPE!, 3);
        fieldBytes += p - field;
        keepField(field, p, firstRun);
      }
    }
    scopeResource[scope] = resource;
    scopeBytes[scope] = fieldBytes;
    scopeRuns[scope] = firstRun;
    scopeRunsEnd[scope] = runs;
  }

  function walkSpan(p: number, end: number): void {
    let traceAt = -1;
    let startAt = -1;
    let finishAt = -1;
    let kind = 0;
    let code = 0;
    if (end - p >= 48) {
      if (bytes[p] === 0x0a && bytes[p + 1] === 16) {
        traceAt = p + 2;
        p += 18;
      }
      if (bytes[p] === 0x12 && bytes[p + 1] === 8) p += 10;
      if (bytes[p] === 0x22 && bytes[p + 1] === 8) p += 10;
      const name = bytes[p + 1]!;
      if (bytes[p] === 0x2a && name < 128 && name + 2 <= end - p) p += 2 + name;
      if (end - p >= 24) {
        const value = bytes[p + 1]!;
        if (bytes[p] === 0x30 && value < 128) {
          kind = value;
          p += 2;
        }
        if (bytes[p] === 0x39) {
          startAt = p + 1;
          p += 9;
        }
        if (bytes[p] === 0x41) {
          finishAt = p + 1;
          p += 9;
        }
      }
    }
    while (p < end) {
      const tag = readTag(p, end);
      if (tag === 0x4a || tag === 0x5a || tag === 0x6a) {
        p = readLength(next, end);
        if (tag === 0x4a) checkKeyValue(next, p, 4);
        else checkMessage(next, p, tag === 0x5a ? EVENT! : LINK!, 4);
      } else if (tag === 0x0a) {
        p = readLength(next, end);
        traceAt = p - next === 16 ? next : -1;
      } else if (tag === 0x7a) {
        p = readLength(next, end);
        for (let q = next; q < p; ) {
          const inner = readTag(q, p);
          if (inner === 0x18) code = varint(next, p, 10);
          else next = skipValue(next, p, inner);
          q = next;
        }
      } else if (tag === 0x30) {
        kind = varint(next, end, 10);
        p = next;
      } else {
        const at = next;
        p = skipValue(at, end, tag);
        if (tag === 0x39) startAt = at;
        else if (tag === 0x41) finishAt = at;
      }
    }
    if (traceAt < 0) throw new Error('a span of the corpus has no trace id');
    const key = samples * 4;
    keys[key] = view.getUint32(traceAt, true);
    keys[key + 1] = view.getUint32(traceAt + 4, true);
    keys[key + 2] = view.getUint32(traceAt + 8, true);
    keys[key + 3] = view.getUint32(traceAt + 12, true);
    itemFlags[samples] = (code === 2 ? 1 : 0) | (kind === 2 || kind === 5 ? 2 : 0);
    let latency = 0;
    if (startAt >= 0 && finishAt >= 0) {
      latency =
        (view.getUint32(finishAt + 4, true) - view.getUint32(startAt + 4, true)) * 2 ** 32 +
        (view.getUint32(finishAt, true) - view.getUint32(startAt, true));
      if (latency < 0) latency = 0;
    }
    itemLatency[samples] = latency;
  }

  function bucketOf(latency: number): number {
    if (latency < 1_024) return 0;
    const high = Math.floor(latency / 2 ** 8);
    const octave = 31 - Math.clz32(high);
    return Math.min(1 + (octave - 2) * 4 + ((high >>> (octave - 2)) & 3), LATENCY_BUCKETS - 1);
  }

  function takeSamples(): void {
    xxh64Batch16(keys.subarray(0, samples * 4), hashes);
    for (let i = 0; i < samples; i++) {
      const slot = hashes[2 * i + 1]! >>> 16;
      const shard = slots[slot]!;
      const at = itemAt[i]!;
      const size = itemBytes[i]!;
      const scope = itemScope[i]!;
      bytesSeen += size;
      if (nextSample < bytesSeen) sampleKey(i);
      const resource = scopeResource[scope]!;
      // Lists.
      const lastScope = listScope[shard]!;
      const last = listLast[shard]!;
      const around = scopeBytes[scope]! + FRAME_BYTES;
      let cost = size;
      if (lastScope !== scope) {
        cost += around;
        if (lastScope < 0 || scopeResource[lastScope] !== resource) cost += resourceBytes[resource]! + FRAME_BYTES;
      }
      let first = last < 0 ? 1 : 0;
      let fill = listFill[shard]!;
      if (first === 0 && fill + cost > MAX_RECORD_BYTES) {
        first = 1;
        fill = 0;
        cost = size + around + resourceBytes[resource]! + FRAME_BYTES;
      }
      listFill[shard] = fill + cost;
      outputBytes += cost;
      if (first === 0 && lastScope === scope && rowAt[last]! + rowBytes[last]! === at) rowBytes[last]! += size;
      else {
        rowAt[rows] = at;
        rowBytes[rows] = size;
        rowScope[rows] = scope;
        rowBefore[rows] = last;
        rowIsFirst[rows] = first;
        listLast[shard] = rows++;
        listScope[shard] = scope;
      }
      // Aggregates.
      const flags = itemFlags[i]!;
      const latency = itemLatency[i]!;
      add(shardSums, shard * AGGREGATE, size, flags & 1, latency);
      const instance = resourceInstance[resource]!;
      add(instanceSums, instance * 10, size, flags & 1, latency);
      if ((flags & 2) !== 0) {
        instanceSums[instance * 10 + 6]! += 1;
        instanceSums[instance * 10 + 7]! += flags & 1;
        instanceSums[instance * 10 + 8]! += latency;
        histograms[instance * LATENCY_BUCKETS + bucketOf(latency)]! += 1;
      }
      slotBytes[slot]! += size;
    }
  }

  function sampleKey(item: number): void {
    if (random === 0) {
      random = hashes[2 * item]! | 1;
      nextSample = drawInStride();
    }
    let size = 0;
    for (; nextSample < bytesSeen; size += KEY_STRIDE_BYTES) {
      stride += KEY_STRIDE_BYTES;
      nextSample = drawInStride();
    }
    if (size === 0 || sampled === MAX_KEY_SAMPLES) return;
    sampledHashes[2 * sampled] = hashes[2 * item]!;
    sampledHashes[2 * sampled + 1] = hashes[2 * item + 1]!;
    sampledBytes[sampled++] = size;
  }

  function drawInStride(): number {
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    return stride + (random & (KEY_STRIDE_BYTES - 1));
  }

  function add(sums: Float64Array, at: number, size: number, error: number, latency: number): void {
    const items = sums[at]!;
    sums[at] = items + 1;
    sums[at + 1]! += size;
    sums[at + 2]! += error;
    sums[at + 3]! += latency;
    if (items === 0 || latency < sums[at + 4]!) sums[at + 4] = latency;
    if (latency > sums[at + 5]!) sums[at + 5] = latency;
  }

  function frame(at: number, end: number, tag: number): number {
    let length = end - at;
    at -= length < 128 ? 1 : length < 16_384 ? 2 : length < 2_097_152 ? 3 : 4;
    let p = at;
    for (; length >= 128; length >>>= 7) out[p++] = (length & 127) | 128;
    out[p] = length;
    out[--at] = tag;
    return at;
  }

  function copyRuns(at: number, from: number, to: number): number {
    while (to-- > from) {
      at -= runBytes[to]!;
      bytes.copy(out, at, runAt[to]!, runAt[to]! + runBytes[to]!);
    }
    return at;
  }

  function emit(): Uint8Array[] {
    if (outputBytes > out.length) out = Buffer.alloc(outputBytes * 1.25);
    const outputs: Uint8Array[] = [];
    let at = out.length;
    for (let shard = shardCount - 1; shard >= 0; shard--) {
      let row = listLast[shard]!;
      while (row >= 0) {
        const recordEnd = at;
        let resourceEnd = at;
        let scopeEnd = at;
        let scope = rowScope[row]!;
        for (;;) {
          at -= rowBytes[row]!;
          bytes.copy(out, at, rowAt[row]!, rowAt[row]! + rowBytes[row]!);
          const first = rowIsFirst[row] === 1;
          row = rowBefore[row]!;
          const nextScope = first ? -1 : rowScope[row]!;
          if (nextScope === scope) continue;
          at = frame(copyRuns(at, scopeRuns[scope]!, scopeRunsEnd[scope]!), scopeEnd, 0x12);
          scopeEnd = at;
          const resource = scopeResource[scope]!;
          if (first || scopeResource[nextScope] !== resource) {
            at = frame(copyRuns(at, resourceRuns[resource]!, resourceRunsEnd[resource]!), resourceEnd, 0x0a);
            resourceEnd = at;
            scopeEnd = at;
          }
          if (first) break;
          scope = nextScope;
        }
        outputs.push(out.subarray(at, recordEnd));
      }
    }
    return outputs.reverse();
  }

  return (requests) => {
    runs = 0;
    rows = 0;
    scopes = 0;
    resources = 0;
    outputBytes = 0;
    listLast.fill(-1);
    listScope.fill(-1);
    listFill.fill(0);
    shardSums.fill(0);
    slotBytes.fill(0);
    instanceSums.fill(0, 0, instances.size * 10);
    histograms.fill(0, 0, instances.size * LATENCY_BUCKETS);
    instances.clear();
    sampled = 0;
    nextSample = 0;
    stride = 0;
    random = 0;
    bytesSeen = 0;
    const { buffer } = requests[0]!;
    if (requests.some((request) => request.buffer !== buffer))
      throw new Error('the values of a poll lie in one buffer');
    if (bytes.buffer !== buffer) {
      bytes = Buffer.from(buffer as ArrayBuffer);
      view = new DataView(bytes.buffer);
    }
    for (const request of requests) {
      samples = 0;
      const end = request.byteOffset + request.length;
      for (let p = request.byteOffset; p < end; ) {
        const tag = readTag(p, end);
        p = skipValue(next, end, tag);
        if (tag === 0x0a) walkResource(next, p);
      }
      takeSamples();
    }
    return emit();
  };
}
