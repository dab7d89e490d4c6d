/**
 * The outermost level of an Export*ServiceRequest, which is all that the bridge looks at. The same for every signal:
 *
 *   request          1 resource_spans | resource_metrics | resource_logs   repeated message
 *   ResourceSpans …  1 resource                                            message
 *
 * Fields that are not known here stay in place. What lies deeper is for the pipeline to judge.
 */
const RESOURCES_FIELD = 1;
const RESOURCE_FIELD = 1;
const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

/** A field: bytes `start` to `end` of the message, tag included; its payload begins at `payload`. */
interface Frame {
  number: number;
  wireType: number;
  start: number;
  payload: number;
  end: number;
}

/** null when the outermost level parses; else where and why it does not. */
export function faultOf(body: Uint8Array): string | null {
  const frame = newFrame();
  while (frame.end < body.length) {
    if (!nextFrame(body, frame)) return `no protobuf field at byte ${frame.start} of ${body.length}`;
    if (frame.number === RESOURCES_FIELD && frame.wireType !== DELIMITED) {
      return `field 1 at byte ${frame.start} is no message`;
    }
  }
  return null;
}

/** The first resource, as its message's bytes; empty when the request has none. Expects a body without fault. */
export function firstResource(body: Uint8Array): Uint8Array {
  const frame = newFrame();
  while (frame.end < body.length && nextFrame(body, frame)) {
    if (frame.number !== RESOURCES_FIELD) continue;
    const resources = body.subarray(frame.payload, frame.end);
    const inner = newFrame();
    while (inner.end < resources.length && nextFrame(resources, inner)) {
      if (inner.number === RESOURCE_FIELD && inner.wireType === DELIMITED) {
        return resources.subarray(inner.payload, inner.end);
      }
    }
    break;
  }
  return body.subarray(0, 0);
}

export type CutOutcome =
  /** Views of the body, in order; each is a valid request. */
  | { readonly kind: 'pieces'; readonly pieces: readonly Uint8Array[] }
  /** One resource with its items has `bytes`: too many for a piece. */
  | { readonly kind: 'too-large'; readonly bytes: number };

/** Cuts a request between its resources into pieces of at most `maxBytes`. Expects a body without fault. */
export function cutRequest(body: Uint8Array, maxBytes: number): CutOutcome {
  if (body.length <= maxBytes) return { kind: 'pieces', pieces: [body] };
  const pieces: Uint8Array[] = [];
  const frame = newFrame();
  let pieceStart = 0;
  while (frame.end < body.length && nextFrame(body, frame)) {
    if (frame.end - frame.start > maxBytes) return { kind: 'too-large', bytes: frame.end - frame.start };
    if (frame.end - pieceStart <= maxBytes) continue;
    pieces.push(body.subarray(pieceStart, frame.start));
    pieceStart = frame.start;
  }
  pieces.push(body.subarray(pieceStart));
  return { kind: 'pieces', pieces };
}

const newFrame = (): Frame => ({ number: 0, wireType: 0, start: 0, payload: 0, end: 0 });

/** Moves on to the frame that begins where this one ends; false when there is none whole. */
function nextFrame(body: Uint8Array, frame: Frame): boolean {
  frame.start = frame.end;
  const tag = readVarint(body, frame.start);
  if (tag === null || tag.value > 0xffff_ffff) return false;
  frame.number = Math.floor(tag.value / 8);
  frame.wireType = tag.value % 8;
  if (frame.number === 0) return false;
  frame.payload = tag.end;
  switch (frame.wireType) {
    case VARINT: {
      const varint = readVarint(body, tag.end);
      if (varint === null) return false;
      frame.end = varint.end;
      break;
    }
    case FIXED64:
      frame.end = tag.end + 8;
      break;
    case FIXED32:
      frame.end = tag.end + 4;
      break;
    case DELIMITED: {
      const length = readVarint(body, tag.end);
      if (length === null) return false;
      frame.payload = length.end;
      frame.end = length.end + length.value;
      break;
    }
    default: // groups, which proto3 does not have
      return false;
  }
  return frame.end <= body.length;
}

/** At most ten bytes. Values above 2^53 lose digits, but then they are no length of anything here. */
function readVarint(body: Uint8Array, start: number): { value: number; end: number } | null {
  let value = 0;
  let scale = 1;
  for (let at = start; at < body.length && at < start + 10; at++) {
    const byte = body[at]!;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, end: at + 1 };
    scale *= 128;
  }
  return null;
}

/** FNV-1a, 32 bits, over a first resource: the same exporter has the same hash at every bridge. */
export function orderHash(resource: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (let at = 0; at < resource.length; at++) hash = Math.imul(hash ^ resource[at]!, 0x0100_0193);
  return hash >>> 0;
}
