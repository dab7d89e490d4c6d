/**
 * Decompression that stops at a limit. A body's inflated bytes are counted as they come, against its own limit and against the
 * bridge's budget, and not one more chunk is inflated once either is exceeded: a bomb costs what it may, not what it would.
 */
import { createGunzip, createInflate, gunzipSync, inflateSync } from 'node:zlib';
import type { Appended, BodyBuffer } from './body-buffer.ts';

/** As named in Content-Encoding and grpc-encoding; `deflate` is zlib's format (RFC 1950) in both. */
export const COMPRESSIONS = ['gzip', 'deflate'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

export type Inflated = Appended | 'malformed';

/**
 * What usual batches stay below: they are inflated at once, which takes a third of the time of a stream in the thread pool.
 * The second bounds how long that can hold up everybody else: 2 ms.
 */
const SYNC_INPUT_BYTES = 128 * 1024;
const SYNC_OUTPUT_BYTES = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

export function isCompression(name: string): name is Compression {
  return (COMPRESSIONS as readonly string[]).includes(name);
}

/** Inflates `body` into `into`, which is empty. Resolves with what stopped it, if anything did. */
export async function inflate(compression: Compression, body: Uint8Array, into: BodyBuffer): Promise<Inflated> {
  if (body.length <= SYNC_INPUT_BYTES) {
    const inflated = inflateAtOnce(compression, body, Math.min(into.limitBytes, SYNC_OUTPUT_BYTES));
    if (inflated === 'malformed') return inflated;
    if (inflated !== 'too-large') {
      into.declare(inflated.length);
      return into.append(inflated);
    }
    if (into.limitBytes <= SYNC_OUTPUT_BYTES) return 'too-large';
  }
  return inflateAsStream(compression, body, into);
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

function inflateAsStream(compression: Compression, body: Uint8Array, into: BodyBuffer): Promise<Inflated> {
  const options = { chunkSize: CHUNK_BYTES };
  const stream = compression === 'gzip' ? createGunzip(options) : createInflate(options);
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      const appended = into.append(chunk);
      if (appended === 'ok') return;
      stream.destroy();
      resolve(appended);
    });
    stream.once('error', () => resolve('malformed'));
    stream.once('end', () => resolve('ok'));
    stream.end(body);
  });
}
