import { createServer } from 'node:net';
import { WeirError } from '../errors.ts';

/** Turns what the system says about an address into a sentence that names the setting. */
export function listenError(cause: Error, host: string, port: number, flag: string): WeirError {
  const code = 'code' in cause ? String(cause.code) : '';
  const address = `${host}:${port}`;
  if (code === 'EADDRINUSE' || cause.message.includes('EADDRINUSE')) {
    return new WeirError(
      'PORT_TAKEN',
      `cannot listen on ${address}: it is in use. Stop what listens there, or choose another port with ${flag}.`,
      { cause },
    );
  }
  return new WeirError(
    'CONFIG_INVALID',
    `cannot listen on ${address}: ${code || cause.message}. Choose an address of this machine with --host, and a port that this user may open with ${flag}.`,
    { cause },
  );
}

/** Throws `listenError` when the address cannot be had. */
export async function probeAddress(host: string, port: number, flag: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(cause, host, port, flag)));
    server.listen({ host, port }, resolve);
  });
  await new Promise((resolve) => server.close(resolve));
}
