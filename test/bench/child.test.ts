import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const CHILD = join(import.meta.dirname, '..', '..', 'bench', 'child.ts');
/** A run with a child that would stay for ever, whose output is the run's. */
const RUN = `
  import { spawn } from 'node:child_process';
  import { endWithRun, exitOnSignals } from ${JSON.stringify(CHILD)};
  exitOnSignals();
  endWithRun(spawn(process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1_000)'], { stdio: 'inherit' }));
`;

it('a run that a signal ends takes its children with it', async () => {
  const run = spawn(process.execPath, ['--input-type=module', '-e', RUN], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(run, 'exit');
  // Closed when the child, too, has ended.
  const closed = once(run.stdout, 'close');
  await once(run.stdout, 'data');
  run.kill('SIGTERM');
  expect(await ended).toEqual([128 + 15, null]);
  await closed;
});
