/** TLS towards a target: whom the load generator trusts, and what it shows of itself. */
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { WeirError } from '../errors.ts';

/** Paths of PEM files. */
export interface ClientTls {
  /** Authorities that the target's certificate must be signed by; absent: those that Node trusts. */
  readonly caFile?: string | undefined;
  /** The client's own certificate and its key: both or neither. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** Throws CONFIG_INVALID when the files cannot be used. */
export async function openClientTls({ caFile, certFile, keyFile }: ClientTls): Promise<SecureContext> {
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new WeirError('CONFIG_INVALID', 'load: --tls-cert and --tls-key are one certificate: give both, or neither');
  const options: SecureContextOptions = {
    ...(caFile !== undefined && { ca: await readPem('--tls-ca', caFile) }),
    ...(certFile !== undefined && { cert: await readPem('--tls-cert', certFile) }),
    ...(keyFile !== undefined && { key: await readPem('--tls-key', keyFile) }),
  };
  try {
    return createSecureContext(options);
  } catch (cause) {
    const files = [caFile, certFile, keyFile].filter((path) => path !== undefined);
    throw new WeirError('CONFIG_INVALID', `load: cannot use ${files.join(', ')}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function readPem(flag: string, path: string): Promise<Buffer> {
  const fail = (why: string, cause?: unknown) =>
    new WeirError('CONFIG_INVALID', `load: ${flag}: ${path} cannot be used: ${why}`, { cause });
  const pem = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw fail(cause.code === 'ENOENT' ? 'there is no such file' : `reading it fails (${cause.code})`, cause);
  });
  // Node takes an authority's file without a certificate for one that lists none, and then trusts nobody.
  if (!pem.includes('-----BEGIN')) throw fail('it holds nothing in PEM');
  return pem;
}
