/**
 * The one message of a unary request, from the bytes of its DATA frames, which know nothing of messages:
 *
 *   Length-Prefixed-Message   1 byte compressed (0 or 1) · 4 bytes length, big endian · the message
 *
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)
 */
import { type Appended, BodyBuffer } from './body-buffer.ts';
import type { ByteBudget } from './byte-budget.ts';

const PREFIX_BYTES = 5;

/** `misframed`: what came is no length-prefixed message, or more than one. */
export type Pushed = Appended | 'misframed';

export class MessageReader {
  readonly body: BodyBuffer;
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #prefixLength = 0;
  #messageBytes = 0;

  constructor(budget: ByteBudget, maxMessageBytes: number) {
    this.body = new BodyBuffer(budget, maxMessageBytes);
  }

  get compressed(): boolean {
    return this.#prefix[0] === 1;
  }

  /** The message has come, and nothing is left to come. */
  get whole(): boolean {
    return this.#prefixLength === PREFIX_BYTES && this.body.length === this.#messageBytes;
  }

  push(chunk: Uint8Array): Pushed {
    let at = 0;
    if (this.#prefixLength < PREFIX_BYTES) {
      while (at < chunk.length && this.#prefixLength < PREFIX_BYTES) this.#prefix[this.#prefixLength++] = chunk[at++]!;
      if (this.#prefixLength < PREFIX_BYTES) return 'ok';
      const [flag, ...length] = this.#prefix;
      if (flag! > 1) return 'misframed';
      this.#messageBytes = length.reduce((value, byte) => value * 256 + byte, 0);
      // Said before a byte of it is read: the limit is on the length, not on what has come.
      if (this.body.declare(this.#messageBytes) !== 'ok') return 'too-large';
    }
    if (at === chunk.length) return 'ok';
    if (this.body.length + chunk.length - at > this.#messageBytes) return 'misframed';
    return this.body.append(at === 0 ? chunk : chunk.subarray(at));
  }
}

/** An answer's message, with its prefix. */
export function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}
