/** `weir config check FILE`. */
import { effectiveSettings, loadConfigWithOrigins } from '../config/load.ts';
import { WeirError } from '../errors.ts';
import { EXIT } from './exit.ts';
import { table } from './table.ts';

/** Prints OK and the settings that differ from their defaults, or all problems; the exit code. */
export function checkConfig(
  file: string,
  env: NodeJS.ProcessEnv,
  stdout: { write(text: string): unknown },
  stderr: { write(text: string): unknown },
): number {
  try {
    const loaded = loadConfigWithOrigins({ file, env });
    const settings = effectiveSettings(loaded);
    stdout.write(settings.length === 0 ? 'OK: all settings are at their defaults\n' : 'OK; not at their defaults:\n');
    stdout.write(table(settings.map(({ key, shown, origin }) => [`  ${key}`, shown, `(${origin})`])));
    for (const note of loaded.notes) stderr.write(`note: ${note}\n`);
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof WeirError)) throw error;
    stderr.write(`weir: ${error.message}\n`);
    return EXIT.failed;
  }
}
