import { readFileSync } from 'node:fs';

/** Weir's version, from package.json (two folders up, in the sources as in the build). */
export function weirVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
