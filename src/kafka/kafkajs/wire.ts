/**
 * Requests and answers on one connection, once kafkajs has made it and seen to ApiVersions and SASL. kafkajs's own framing
 * joins a request's bytes into one buffer, three times over, and an answer's again; here a request's pieces go to the socket
 * as they are, and the bytes of an answer come from it to where they stay.
 *
 * Request: length of what follows int32, api_key int16, api_version int16, correlation_id int32, client_id string, body.
 * Answer: length int32, correlation_id int32, body. A broker answers one connection's requests in order.
 */
import type { Socket } from 'node:net';
import { RequestWriter } from './request-writer.ts';

/** What is read at once while no answer is under way: many small ones, or the beginning of a large one. */
const READ_BYTES = 65_536;
const LENGTH_BYTES = 4;
const CORRELATION_BYTES = 4;

/** Gives an answer of so many bytes its place. */
export type Allocate = (bytes: number) => Buffer;

interface Pending {
  readonly correlationId: number;
  readonly allocate: Allocate;
  resolve(body: Buffer): void;
  reject(error: Error): void;
}

/** Where the bytes of a socket go. Until a wire is attached they are the socket's 'data' events, as kafkajs wants them. */
export class Incoming {
  readonly #scratch = Buffer.allocUnsafeSlow(READ_BYTES);
  #wire: Wire | undefined;
  #socket: Socket | undefined;

  /** `onread` of net.connect: bytes land in a buffer of ours, instead of a new one each time. */
  readonly onread = {
    buffer: (): Uint8Array => this.#wire?.destination ?? this.#scratch,
    callback: (bytes: number, buffer: Uint8Array): boolean => {
      if (!this.#wire) this.#socket?.emit('data', Buffer.from(buffer.subarray(0, bytes)));
      else if (buffer === this.#scratch) this.#wire.received(this.#scratch.subarray(0, bytes));
      else this.#wire.landed(bytes);
      return true;
    },
  };

  from(socket: Socket): void {
    this.#socket = socket;
  }

  /** From now on they are the wire's, also those of a TLS socket, which has no `onread`. */
  attach(wire: Wire): void {
    this.#wire = wire;
    this.#socket?.removeAllListeners('data');
    this.#socket?.on('data', (chunk: Buffer) => wire.received(chunk));
  }
}

export class Wire {
  readonly #socket: Socket;
  readonly #clientId: string;
  readonly #onFault: (error: Error) => void;
  readonly #pending: Pending[] = [];
  #nextCorrelationId = 0;
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #lengthBytes = 0;
  /** The answer under way, and how much of it is there. */
  #answer: Buffer | undefined;
  #answered = 0;
  #closed = false;

  constructor(socket: Socket, clientId: string, onFault: (error: Error) => void) {
    this.#socket = socket;
    this.#clientId = clientId;
    this.#onFault = onFault;
  }

  /** The pieces are read until the answer is there, or until the wire is closed. */
  send(
    { apiKey, apiVersion }: { apiKey: number; apiVersion: number },
    body: readonly Uint8Array[],
    allocate: Allocate = Buffer.allocUnsafe,
  ): Promise<Buffer> {
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId = (correlationId + 1) % 2 ** 31;
    const header = new RequestWriter();
    const length = header.reserve(LENGTH_BYTES);
    header.int16(apiKey).int16(apiVersion).int32(correlationId).string(this.#clientId);
    const pieces = [...header.pieces(), ...body];
    length.writeInt32BE(pieces.reduce((sum, piece) => sum + piece.length, -LENGTH_BYTES));
    return new Promise((resolve, reject) => {
      this.#pending.push({ correlationId, allocate, resolve, reject });
      // One call of writev.
      this.#socket.cork();
      for (const piece of pieces) this.#socket.write(piece);
      this.#socket.uncork();
    });
  }

  /** Fails what is pending. Nothing more is sent or taken. */
  close(error: Error): void {
    this.#closed = true;
    this.#socket.destroy();
    for (const { reject } of this.#pending.splice(0)) reject(error);
  }

  /** Where the next bytes from the socket belong, if that is known. */
  get destination(): Buffer | undefined {
    return this.#answer?.subarray(this.#answered);
  }

  /** So many bytes are in `destination`. */
  landed(bytes: number): void {
    if (this.#closed) return;
    this.#answered += bytes;
    if (this.#answer && this.#answered === this.#answer.length) this.#deliver(this.#answer);
  }

  received(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && !this.#closed; ) {
      if (!this.#answer) {
        const taken = bytes.copy(this.#length, this.#lengthBytes, at);
        at += taken;
        this.#lengthBytes += taken;
        if (this.#lengthBytes === LENGTH_BYTES) this.#begin(this.#length.readInt32BE());
        continue;
      }
      const taken = bytes.copy(this.#answer, this.#answered, at);
      at += taken;
      this.landed(taken);
    }
  }

  #begin(bytes: number): void {
    const next = this.#pending[0];
    if (!next || bytes < CORRELATION_BYTES) {
      this.#onFault(new Error(`an answer of ${bytes} bytes to ${next ? 'a' : 'no'} request`));
      return;
    }
    this.#lengthBytes = 0;
    this.#answered = 0;
    this.#answer = next.allocate(bytes);
  }

  #deliver(answer: Buffer): void {
    this.#answer = undefined;
    const { correlationId, resolve } = this.#pending[0]!;
    if (answer.readInt32BE() !== correlationId) {
      this.#onFault(new Error(`an answer to request ${answer.readInt32BE()} where ${correlationId} is next`));
      return;
    }
    this.#pending.shift();
    resolve(answer.subarray(CORRELATION_BYTES));
  }
}
