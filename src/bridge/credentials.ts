/**
 * Who may send, from a file that is read again when it changes: bearer tokens, and users with passwords for basic
 * authentication, each with the tenant that it sends for, if any. In a file, as what stands on a command line or in the
 * environment is seen by others. No text made here holds anything of a secret.
 */
import { hash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { WeirError } from '../errors.ts';
import { followFiles } from './followed-files.ts';

/** Of an Authorization header: whom it is from; null for nobody known. */
export type Caller = { readonly tenant: string | null };

export interface Credentials {
  callerOf(authorization: string): Caller | null;
  /** For WWW-Authenticate. */
  readonly challenge: string;
  stop(): void;
}

const tenant = z
  .string()
  .regex(/^[\x20-\x7e]{1,256}$/)
  .refine((value) => value.trim() === value)
  .optional();
const fileSchema = z.strictObject({
  tokens: z.array(z.strictObject({ token: z.string().regex(/^[A-Za-z0-9._~+/=-]{16,1024}$/), tenant })).default([]),
  users: z
    .array(
      z.strictObject({ name: z.string().regex(/^[^:\p{Cc}]{1,256}$/u), password: z.string().min(8).max(1024), tenant }),
    )
    .default([]),
});

const ALLOWED: Readonly<Record<string, string>> = {
  token: '16 to 1024 letters, digits and any of . _ ~ + / = -',
  name: '1 to 256 characters, none of them a colon',
  password: 'a text of 8 to 1024 characters',
  tenant: '1 to 256 printable ASCII characters',
};

/** Throws CONFIG_INVALID when the file cannot be used; one that is broken later on leaves the last good one in force. */
export async function openCredentials(path: string, log: Logger): Promise<Credentials> {
  const followed = await followFiles([path], {
    read: () => readCredentials(path),
    onChange: ({ callers }) => log.info({ file: path, callers: callers.size }, 'credentials read again'),
    onUnusable: (err) => log.error({ err }, 'the changed credentials cannot be used: those read before stay in force'),
  });
  return {
    callerOf: (authorization) => followed.current.callers.get(keyOf(authorization)) ?? null,
    get challenge() {
      return followed.current.challenge;
    },
    stop: () => followed.stop(),
  };
}

interface KnownCallers {
  readonly callers: ReadonlyMap<string, Caller>;
  readonly challenge: string;
}

async function readCredentials(path: string): Promise<KnownCallers> {
  const fail = (problem: string, cause?: unknown) =>
    new WeirError(
      'CONFIG_INVALID',
      `cannot take the credentials of bridge.auth.credentialsFile (${path}): ${problem}`,
      {
        cause,
      },
    );
  const source = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw fail(cause.code === 'ENOENT' ? 'there is no such file' : `reading it fails (${cause.code})`, cause);
  });
  // The parser's own messages quote the source.
  const document = parseDocument(source, { prettyErrors: false, logLevel: 'silent' });
  if (document.errors.length > 0) throw fail('it is neither YAML nor JSON');
  const parsed = fileSchema.safeParse(document.toJS({ maxAliasCount: 0 }) ?? {});
  if (!parsed.success) throw fail(parsed.error.issues.map(problemOf).join('; '));
  const { tokens, users } = parsed.data;
  const callers = new Map<string, Caller>();
  const add = (what: string, authorization: string, { tenant: of = null }: { tenant?: string | null }) => {
    const key = keyOf(authorization);
    if (callers.has(key)) throw fail(`${what} stands there twice`);
    callers.set(key, { tenant: of });
  };
  for (const [index, entry] of tokens.entries()) add(`tokens[${index}]`, `Bearer ${entry.token}`, entry);
  for (const [index, entry] of users.entries()) {
    if (users.findIndex(({ name }) => name === entry.name) < index) throw fail(`users[${index}] stands there twice`);
    add(`users[${index}]`, `Basic ${Buffer.from(`${entry.name}:${entry.password}`).toString('base64')}`, entry);
  }
  if (callers.size === 0) throw fail('it has no tokens and no users, so nobody could send');
  const schemes = [...(tokens.length > 0 ? ['Bearer'] : []), ...(users.length > 0 ? ['Basic'] : [])];
  return { callers, challenge: schemes.map((scheme) => `${scheme} realm="weir"`).join(', ') };
}

/** Names the place and what is allowed, never what stands there. */
function problemOf(issue: z.core.$ZodIssue): string {
  const at = issue.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  const place = at === '' ? 'the file' : at.slice(1);
  if (issue.code === 'unrecognized_keys') return `${place} has a key that is not known`;
  const allowed = ALLOWED[String(issue.path.at(-1))];
  return `${place} is not allowed${allowed ? `; allowed: ${allowed}` : ''}`;
}

/**
 * What a header is looked up by: a hash with a salt that nobody knows. How long a look-up takes then says nothing about how
 * much of a guess was right, which is what comparing in constant time is for.
 */
function keyOf(authorization: string): string {
  // The scheme's case does not count (RFC 9110, 11.1); the rest is the secret and does.
  const [, scheme = '', secret = ''] = /^([A-Za-z]+) +(.+)$/.exec(authorization) ?? [];
  return hash('sha256', `${SALT} ${scheme.toLowerCase()} ${secret}`);
}

const SALT = randomUUID();
