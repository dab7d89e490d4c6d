/** Requests that other implementations made: test/vectors/. */
import { readdirSync, readFileSync } from 'node:fs';
import { SIGNALS } from '../../src/signals.ts';

const DIRECTORY = new URL('../vectors/', import.meta.url);

export const VECTORS = readdirSync(DIRECTORY)
  .filter((name) => name.endsWith('.bin'))
  .map((name) => ({
    name,
    signal: SIGNALS.find((signal) => name.includes(`-${signal}-`))!,
    request: new Uint8Array(readFileSync(new URL(name, DIRECTORY))),
  }));
