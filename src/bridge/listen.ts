/** What the bridge's two endpoints have in common: what they are, and what goes wrong when they start to listen. */
import { createServer } from 'node:net';
import { WeirError } from '../errors.ts';
import type { Intake } from './intake.ts';

export interface EndpointOptions {
  readonly host: string;
  readonly port: number;
  readonly maxRequestBytes: number;
  readonly intake: Intake;
}

/** Where exporters send to. */
export interface Endpoint {
  /** host:port. */
  readonly address: string;
  /** Ends idle connections, then all that are left after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

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
