/** TLS of the bridge's two endpoints: what they show, whom they trust, and how both follow the files. */
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions, type TlsOptions } from 'node:tls';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { WeirError } from '../errors.ts';
import { followFiles } from './followed-files.ts';

/** What of a server is needed to give it other certificates; connections that are open keep theirs. */
export interface TlsServer {
  setSecureContext(options: SecureContextOptions): void;
}

export interface ServerTls {
  /** For the server's creation. */
  options(): TlsOptions;
  /** From now on the server gets what the files hold when they change. */
  follow(server: TlsServer): void;
  close(): void;
}

/** null without bridge.tls.enabled. Throws CONFIG_INVALID when the files cannot be used; later a broken one is left alone. */
export async function openServerTls({ bridge }: Pick<Config, 'bridge'>, log: Logger): Promise<ServerTls | null> {
  const { tls } = bridge;
  if (!tls.enabled) return null;
  const paths = { cert: tls.certFile!, key: tls.keyFile!, ca: tls.clientCaFile };
  const servers: TlsServer[] = [];
  const files = Object.values(paths).filter((path) => path !== undefined);
  const followed = await followFiles(files, {
    read: () => readContext(paths),
    onChange(context) {
      for (const server of servers) server.setSecureContext(context);
      log.info({ files }, 'TLS certificates read again');
    },
    onUnusable: (err) =>
      log.error({ err }, 'the changed TLS certificates cannot be used: those read before stay in use'),
  });
  return {
    options: () => ({
      ...followed.current,
      requestCert: paths.ca !== undefined,
      rejectUnauthorized: paths.ca !== undefined && tls.requireClientCert,
      // A client that does not get on with its handshake must not hold a socket.
      handshakeTimeout: bridge.headersTimeoutMs,
    }),
    follow: (server) => servers.push(server),
    close: () => followed.stop(),
  };
}

interface Paths {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
}

async function readContext({ cert, key, ca }: Paths): Promise<SecureContextOptions> {
  const options: SecureContextOptions = {
    minVersion: 'TLSv1.2',
    cert: await readPem('certFile', cert),
    key: await readPem('keyFile', key),
    ...(ca !== undefined && { ca: await readPem('clientCaFile', ca) }),
  };
  try {
    createSecureContext(options);
  } catch (cause) {
    // OpenSSL's words for it are codes such as "key values mismatch" and hold nothing of a key.
    const files = [cert, key, ...(ca === undefined ? [] : [ca])].join(', ');
    throw new WeirError(
      'CONFIG_INVALID',
      `cannot use the TLS files of bridge.tls (${files}): ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
  return options;
}

async function readPem(setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : `reading it fails (${code})`;
    throw new WeirError('CONFIG_INVALID', `cannot read bridge.tls.${setting} (${path}): ${why}`, { cause });
  }
}
