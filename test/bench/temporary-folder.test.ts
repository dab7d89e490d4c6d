import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { inTemporaryFolder } from '../../bench/temporary-folder.ts';

const moduleNamed = (name: string) => JSON.stringify(join(import.meta.dirname, '..', '..', 'bench', name));
/** A run that tells its folder and works there for ever. */
const RUN = `
  import { exitOnSignals } from ${moduleNamed('child.ts')};
  import { inTemporaryFolder } from ${moduleNamed('temporary-folder.ts')};
  exitOnSignals();
  await inTemporaryFolder('weir-test-', async (folder) => {
    process.stdout.write(folder);
    await new Promise(() => setInterval(() => {}, 1_000));
  });
`;

it('a temporary folder is gone after the work, whatever became of it', async () => {
  let used = '';
  const failing = inTemporaryFolder('weir-test-', async (folder) => {
    used = folder;
    expect(existsSync(used)).toBe(true);
    throw new Error('no luck');
  });
  await expect(failing).rejects.toThrow('no luck');
  expect(existsSync(used)).toBe(false);
});

it('a temporary folder is gone when a signal ends the run', async () => {
  const run = spawn(process.execPath, ['--input-type=module', '-e', RUN], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(run, 'exit');
  const folder = String((await once(run.stdout, 'data'))[0]);
  expect(existsSync(folder)).toBe(true);
  run.kill('SIGINT');
  await ended;
  expect(existsSync(folder)).toBe(false);
});
