/**
 * When the embedded broker is ready: it answers, and both coordinators do. (Right after the start they are "not available"
 * for a moment, while Kafka makes their topics; the first group or transaction would run into that.)
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Resolves when ready. Ends by rejecting when `signal` is aborted; refusals until then are what waiting is. */
export async function brokerReady(port: number, signal: AbortSignal): Promise<void> {
  for (const keyType of [COORDINATOR.group, COORDINATOR.transaction]) {
    for (;;) {
      signal.throwIfAborted();
      const code = await findCoordinator(port, keyType, signal).catch(() => undefined);
      if (code === 0) break;
      await delay(code === undefined ? 50 : 20, undefined, { signal });
    }
  }
}

/** Values of FindCoordinator's key_type. */
const COORDINATOR = { group: 0, transaction: 1 } as const;
const FIND_COORDINATOR = 10;
const ANSWER_WITHIN_MS = 2_000;

/**
 * One FindCoordinator v1 on a connection of its own; returns the error code (0: none).
 * Request:  length i32 | api_key i16 | api_version i16 | correlation_id i32 | client_id string | key string | key_type i8
 * Response: length i32 | correlation_id i32 | throttle_time_ms i32 | error_code i16 | …
 * (https://kafka.apache.org/protocol, FindCoordinator)
 */
async function findCoordinator(port: number, keyType: number, signal: AbortSignal): Promise<number> {
  const text = Buffer.from('weir-ready');
  const request = Buffer.alloc(4 + 8 + 2 * (2 + text.length) + 1);
  let at = request.writeInt32BE(request.length - 4, 0);
  at = request.writeInt16BE(FIND_COORDINATOR, at);
  at = request.writeInt16BE(1, at);
  at = request.writeInt32BE(1, at);
  for (let strings = 0; strings < 2; strings++) {
    at = request.writeInt16BE(text.length, at);
    at += text.copy(request, at);
  }
  request.writeInt8(keyType, at);

  const within = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect', { signal: within });
    socket.write(request);
    const response = await firstBytes(socket, 14, within);
    return response.readInt16BE(12);
  } finally {
    socket.destroy();
  }
}

async function firstBytes(socket: Socket, count: number, signal: AbortSignal): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < count) {
    const [chunk] = (await once(socket, 'data', { signal })) as [Buffer];
    bytes = Buffer.concat([bytes, chunk]);
  }
  return bytes;
}
