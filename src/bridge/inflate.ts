/**
 * Decompression that stops at a limit. A body's inflated bytes are counted as they come, against its own limit, against the
 * bridge's budget and against its compressed bytes, and not one more chunk is inflated once one of these is exceeded: a bomb costs
 * what it may, not what it would.
 */
import { createGunzip, createInflate, gunzipSync, inflateSync } from 'node:zlib';
import type { Appended, BodyBuffer } from './body-buffer.ts';

/** As named in Content-Encoding and grpc-encoding; `deflate` is zlib's format (RFC 1950) in both. */
export const COMPRESSIONS = ['gzip', 'deflate'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** `bomb`: it inflates to more times its bytes than a request may. */
export type Inflated = Appended | 'malformed' | 'bomb';

/**
 * What usual batches stay below: they are inflated at once, which takes a third of the time of a stream in the thread pool.
 * The second bounds how long that can hold up everybody else: 2 ms.
 */
const SYNC_INPUT_BYTES = 128 * 1024;
const SYNC_OUTPUT_BYTES = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** Telemetry repeats itself: a batch of like spans or points is small at any ratio, and no bomb. */
const ANY_RATIO_BYTES = 16 * 1024 * 1024;

/** Why a bomb is refused. */
export const bombText = ({ maxInflationRatio }: { maxInflationRatio: number }): string =>
  `the request decompresses to over 16 MiB and more than bridge.maxInflationRatio (${maxInflationRatio}) times its bytes`;

export function isCompression(name: string): name is Compression {
  return (COMPRESSIONS as readonly string[]).includes(name);
}

/**
 * Inflates `body` into `into`, which is empty. Resolves with what stopped it, if anything did. What inflates to no more than
 * 16 MiB may do so from as few bytes as it likes; beyond, one byte may become `maxRatio`.
 */
export async function inflate(
  compression: Compression,
  body: Uint8Array,
  into: BodyBuffer,
  maxRatio: number,
): Promise<Inflated> {
  if (body.length <= SYNC_INPUT_BYTES) {
    const inflated = inflateAtOnce(compression, body, Math.min(into.limitBytes, SYNC_OUTPUT_BYTES));
    if (inflated === 'malformed') return inflated;
    if (inflated !== 'too-large') return into.append(inflated);
    if (into.limitBytes <= SYNC_OUTPUT_BYTES) return 'too-large';
  }
  return inflateAsStream(compression, body, into, Math.max(ANY_RATIO_BYTES, body.length * maxRatio));
}

function inflateAtOnce(
  compression: Compression,
  body: Uint8Array,
  maxBytes: number,
): Buffer | 'too-large' | 'malformed' {
  const options = { maxOutputLength: maxBytes, chunkSize: CHUNK_BYTES };
  try {
    return compression === 'gzip' ? gunzipSync(body, options) : inflateSync(body, options);
  } catch (error) {
    // Any other error of zlib's is about the bytes it was given.
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too-large' : 'malformed';
  }
}

function inflateAsStream(
  compression: Compression,
  body: Uint8Array,
  into: BodyBuffer,
  maxBytes: number,
): Promise<Inflated> {
  const options = { chunkSize: CHUNK_BYTES };
  const stream = compression === 'gzip' ? createGunzip(options) : createInflate(options);
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      const appended = into.length + chunk.length > maxBytes ? 'bomb' : into.append(chunk);
      if (appended === 'ok') return;
      stream.destroy();
      resolve(appended);
    });
    stream.once('error', () => resolve('malformed'));
    stream.once('end', () => resolve('ok'));
    stream.end(body);
  });
}
