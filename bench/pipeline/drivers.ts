/** What Weir can fetch and write with. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const BUILD_LIBRDKAFKA = join(import.meta.dirname, '..', '..', 'scripts', 'librdkafka.mjs');

export interface Driver {
  /** As the results name Weir on it. */
  readonly title: string;
  /** What chooses it. */
  readonly environment: Readonly<Record<string, string>>;
}

export const USUAL_DRIVER = 'kafkajs';
const LIBRDKAFKA = 'librdkafka';

export const DRIVERS: Readonly<Record<string, Driver>> = {
  [USUAL_DRIVER]: { title: 'Weir', environment: {} },
  [LIBRDKAFKA]: { title: 'Weir on librdkafka', environment: { WEIR_KAFKA_DRIVER: LIBRDKAFKA } },
};

/**
 * Those of them that can run here, for whatever this process starts: builds librdkafka where it is not (once, some minutes). One that
 * cannot be built is left out, and said; throws when it is the only one.
 */
export async function availableDrivers(
  wanted: readonly string[],
  say: (text: string) => void,
): Promise<readonly string[]> {
  if (!wanted.includes(LIBRDKAFKA)) return wanted;
  say('Building librdkafka where it is not built yet (once, some minutes) …');
  try {
    const { stdout } = await run(process.execPath, [BUILD_LIBRDKAFKA]);
    process.env.NODE_PATH = stdout.trim();
    return wanted;
  } catch (error) {
    const why = `Weir on librdkafka: not measured here. ${(error as { stderr?: string }).stderr?.trim() || error}`;
    const others = wanted.filter((driver) => driver !== LIBRDKAFKA);
    if (others.length === 0) throw new Error(why, { cause: error });
    say(why);
    return others;
  }
}
