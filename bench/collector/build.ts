/**
 * The OpenTelemetry Collector as a rival in the same run: built once, by the Go toolchain of the machine, from pinned versions
 * (source/go.mod), into Weir's cache folder.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { weirCacheDir } from '../../src/kafka/embedded/jars.ts';

const run = promisify(execFile);
const SOURCE = join(import.meta.dirname, 'source');

/** As in source/go.mod. */
export const COLLECTOR_VERSION = '0.155.0';

export type CollectorBuild =
  | { readonly kind: 'built'; readonly binary: string }
  /** `why` for the reader of the results. */
  | { readonly kind: 'absent'; readonly why: string };

/** The first build takes some minutes and fetches Go modules; later calls find what it made. */
export async function buildCollector(say: (text: string) => void): Promise<CollectorBuild> {
  const folder = join(weirCacheDir(), `collector-${COLLECTOR_VERSION}-${hashOfSource()}`);
  const binary = join(folder, 'collector');
  if (existsSync(binary)) return { kind: 'built', binary };
  const version = await run('go', ['version']).catch(() => undefined);
  if (version === undefined) return { kind: 'absent', why: 'Collector: not measured here, no Go toolchain' };
  say(`Building the Collector ${COLLECTOR_VERSION} (once, some minutes; ${version.stdout.trim()}) …`);
  // Whole under another name first: an interrupted build leaves nothing that looks like one.
  const fresh = `${binary}.${process.pid}`;
  await mkdir(folder, { recursive: true });
  try {
    await run('go', ['build', '-mod=readonly', '-trimpath', '-ldflags=-s -w', '-o', fresh, '.'], { cwd: SOURCE });
    await rename(fresh, binary);
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1);
    return { kind: 'absent', why: `Collector: not measured here, it could not be built (${said || error})` };
  } finally {
    await rm(fresh, { force: true });
  }
  return { kind: 'built', binary };
}

/** So that other sources or versions are built anew. */
function hashOfSource(): string {
  const hash = createHash('sha256');
  for (const file of readdirSync(SOURCE).sort()) hash.update(readFileSync(join(SOURCE, file)));
  return hash.digest('hex').slice(0, 12);
}
