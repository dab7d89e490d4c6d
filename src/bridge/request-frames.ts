/**
 * Requests as frames (tag, length, content), for what is done to them without decoding. All of it expects a request that the
 * kernel has found valid. The same for every signal:
 *
 *   Export*ServiceRequest  1 ResourceX
 *   ResourceX              1 resource, 2 ScopeX
 *   ScopeX                 2 item
 *   Metric                 5 gauge, 7 sum, 9 histogram, 10 exponential histogram, 11 summary; each 1 data point
 */
import type { Signal } from '../signals.ts';

const VARINT = 0;
const FIXED64 = 1;
const LEN = 2;
/** The most that tag and length of a resource or scope take, as the split kernel counts them. */
const FRAME_BYTES = 6;
const METRIC_KINDS = [5, 7, 9, 10, 11];

interface Frame {
  /** 0 for a field that is not LEN: those hold nothing of what is looked for here. */
  readonly number: number;
  readonly start: number;
  readonly content: number;
  readonly end: number;
}

/** The fields of the message in [at, end), in order. */
function* framesOf(body: Uint8Array, at: number, end: number): Generator<Frame> {
  while (at < end) {
    const start = at;
    let tag = 0;
    let length = 0;
    [tag, at] = varint(body, at);
    const wireType = tag % 8;
    if (wireType === VARINT) [, at] = varint(body, at);
    else if (wireType === LEN) [length, at] = varint(body, at);
    else length = wireType === FIXED64 ? 8 : 4;
    const content = at;
    at += length;
    yield { number: wireType === LEN ? Math.floor(tag / 8) : 0, start, content, end: at };
  }
}

function varint(body: Uint8Array, at: number): [value: number, end: number] {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = body[at++]!;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at];
  }
}

/** The first resource, as its message's bytes; empty when the request has none. */
export function firstResource(body: Uint8Array): Uint8Array {
  for (const resourceX of framesOf(body, 0, body.length)) {
    if (resourceX.number !== 1) continue;
    for (const field of framesOf(body, resourceX.content, resourceX.end)) {
      if (field.number === 1) return body.subarray(field.content, field.end);
    }
    break;
  }
  return body.subarray(0, 0);
}

/** FNV-1a, 32 bits, over a first resource: the same exporter has the same hash at every bridge. */
export function orderHash(resource: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (let at = 0; at < resource.length; at++) hash = Math.imul(hash ^ resource[at]!, 0x0100_0193);
  return hash >>> 0;
}

/**
 * Cuts a request between its resources: views in order, each a valid request and at most `maxBytes` long, unless it is one
 * resource. Where something beside the resources is longer than that, it is left whole.
 */
export function cutBetweenResources(body: Uint8Array, maxBytes: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const { number, start, end } of framesOf(body, 0, body.length)) {
    if (number !== 1 && end - start > maxBytes) return [body];
    if (end - from <= maxBytes || start === from) continue;
    pieces.push(body.subarray(from, start));
    from = start;
  }
  pieces.push(body.subarray(from));
  return pieces;
}

/** An item that fits into no record. */
export interface LargeItem {
  /** Among all items of the request, from 0. */
  readonly index: number;
  /** Data points of a metric; 1 for others. */
  readonly points: number;
}

/** Takes out what, with its resource and scope around it, has more than `maxBytes` as the split kernel counts them. */
export function withoutLargeItems(
  signal: Signal,
  body: Uint8Array,
  maxBytes: number,
): { readonly rest: Uint8Array; readonly large: readonly LargeItem[] } {
  const large: LargeItem[] = [];
  let index = 0;

  /** The fields of a message; those numbered `inner` as `rewrite` has them, which is told what all others take. */
  function rewritten(
    { content, end }: Pick<Frame, 'content' | 'end'>,
    inner: number,
    aroundBytes: number,
    rewrite: (frame: Frame, aroundBytes: number) => Uint8Array[],
  ): Uint8Array[] {
    const frames = [...framesOf(body, content, end)];
    const around = frames.filter(({ number }) => number !== inner);
    const bytes = around.reduce((sum, frame) => sum + frame.end - frame.start, aroundBytes);
    return frames.flatMap((frame) =>
      frame.number === inner ? rewrite(frame, bytes) : [body.subarray(frame.start, frame.end)],
    );
  }

  const item = (frame: Frame, aroundBytes: number): Uint8Array[] => {
    const isLarge = frame.end - frame.start + aroundBytes > maxBytes;
    if (isLarge) large.push({ index, points: signal === 'metrics' ? dataPoints(body, frame) : 1 });
    index++;
    return isLarge ? [] : [body.subarray(frame.start, frame.end)];
  };
  const scopeX = (frame: Frame, aroundBytes: number) => framed(2, rewritten(frame, 2, aroundBytes + FRAME_BYTES, item));
  const resourceX = (frame: Frame, aroundBytes: number) =>
    framed(1, rewritten(frame, 2, aroundBytes + FRAME_BYTES, scopeX));
  const rest = rewritten({ content: 0, end: body.length }, 1, 0, resourceX);
  return { rest: Buffer.concat(rest), large };
}

function framed(number: number, content: readonly Uint8Array[]): Uint8Array[] {
  const head = [number * 8 + LEN];
  let left = content.reduce((sum, chunk) => sum + chunk.length, 0);
  for (; left > 0x7f; left >>>= 7) head.push((left & 0x7f) | 0x80);
  head.push(left);
  return [Uint8Array.from(head), ...content];
}

function dataPoints(body: Uint8Array, metric: Frame): number {
  let points = 0;
  for (const kind of framesOf(body, metric.content, metric.end)) {
    if (!METRIC_KINDS.includes(kind.number)) continue;
    for (const { number } of framesOf(body, kind.content, kind.end)) if (number === 1) points++;
  }
  return points;
}
