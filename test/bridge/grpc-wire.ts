/** A gRPC client that does what no library would: it writes its frames as the test says. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import type { Rig } from './rig.ts';

export const TRACES = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

export interface WireAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** grpc-status, in trailers or in the headers of an answer without a message. */
  readonly code: number | null;
  readonly message: string;
  readonly body: Buffer;
}

export interface WireCall {
  write(bytes: Uint8Array): void;
  end(bytes?: Uint8Array): void;
  readonly answer: Promise<WireAnswer>;
}

export interface Wire {
  readonly session: ClientHttp2Session;
  call(headers?: OutgoingHttpHeaders): WireCall;
  close(): void;
}

export async function openWire(rig: Rig): Promise<Wire> {
  const session = connect(`http://${rig.bridge.grpcAddress}`);
  session.on('error', () => undefined);
  await once(session, 'remoteSettings');
  return {
    session,
    call(headers = {}) {
      const stream = session.request(
        { ':method': 'POST', ':path': TRACES, 'content-type': 'application/grpc', te: 'trailers', ...headers },
        { endStream: false },
      );
      const answer = new Promise<WireAnswer>((resolve, reject) => {
        let head: IncomingHttpHeaders = {};
        let trailers: IncomingHttpHeaders = {};
        const chunks: Buffer[] = [];
        stream.on('response', (received) => {
          head = received;
        });
        stream.on('trailers', (received) => {
          trailers = received;
        });
        stream.on('data', (chunk) => chunks.push(chunk));
        stream.on('error', reject);
        stream.on('close', () => {
          const code = trailers['grpc-status'] ?? head['grpc-status'];
          resolve({
            status: Number(head[':status']),
            headers: { ...head, ...trailers },
            code: code === undefined ? null : Number(code),
            message: decodeURIComponent(String(trailers['grpc-message'] ?? head['grpc-message'] ?? '')),
            body: Buffer.concat(chunks),
          });
        });
      });
      // Awaited later, if at all.
      answer.catch(() => undefined);
      return { write: (bytes) => void stream.write(bytes), end: (bytes) => void stream.end(bytes), answer };
    },
    close: () => session.destroy(),
  };
}

/** A length-prefixed message; `claimed` is the length that it says it has. */
export function prefixed(message: Uint8Array, { flag = 0, claimed = message.length } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(claimed, 1);
  return Buffer.concat([prefix, message]);
}
