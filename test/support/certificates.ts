/** Certificates for a test's servers and clients, made by `openssl` in a folder of the caller. All end after two days. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Paths of PEM files. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  /** Key and certificate in one file, as the broker's PEM key store wants them. */
  readonly storeFile: string;
}

/** One that signs itself, to sign others with. */
export const makeAuthority = (folder: string, name: string): Promise<Certificate> =>
  make(folder, name, ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign']);

/** `names` such as `DNS:localhost,IP:127.0.0.1`. The subject is `CN=<name>`, which is a client's principal. */
export const makeCertificate = (
  folder: string,
  name: string,
  authority: Certificate,
  names?: string,
): Promise<Certificate> =>
  make(folder, name, [
    ...['-CA', authority.certFile, '-CAkey', authority.keyFile, '-addext', 'basicConstraints=critical,CA:FALSE'],
    ...(names ? ['-addext', `subjectAltName=${names}`] : []),
  ]);

async function make(folder: string, name: string, extensions: readonly string[]): Promise<Certificate> {
  const made = {
    certFile: join(folder, `${name}.pem`),
    keyFile: join(folder, `${name}.key`),
    storeFile: join(folder, `${name}.store.pem`),
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', made.keyFile];
  await run('openssl', [
    ...['req', '-x509', '-days', '2', '-subj', `/CN=${name}`, '-out', made.certFile],
    ...key,
    ...extensions,
  ]);
  await writeFile(made.storeFile, (await readFile(made.keyFile, 'utf8')) + (await readFile(made.certFile, 'utf8')));
  return made;
}
