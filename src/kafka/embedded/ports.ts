/** Loopback ports for the embedded broker. */
import { createServer } from 'node:net';
import { WeirError } from '../../errors.ts';

/**
 * Below the range that the system gives to outgoing connections: there a client that tries again and again while the broker
 * is down could be given the very port it dials, and connect to itself.
 */
export async function freePort(not: readonly number[] = []): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    if (!not.includes(port) && (await isFree(port))) return port;
  }
  throw new WeirError('EMBEDDED_FAILED', 'The embedded broker finds no free port between 12000 and 30000.');
}

/** Throws PORT_TAKEN. */
export async function assertFree(port: number): Promise<void> {
  if (await isFree(port)) return;
  throw new WeirError(
    'PORT_TAKEN',
    `The embedded broker cannot listen on 127.0.0.1:${port}: the port is in use. Choose another with kafka.embedded.port (0 picks a free one).`,
  );
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => done(true)));
  });
}
