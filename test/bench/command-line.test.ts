import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { buildProgram } from '../../bench/command-line.ts';

const root = join(import.meta.dirname, '..', '..');
const RUN = join(root, 'bench', 'run.ts');
const benchmarks = buildProgram([]).commands.map((command) => command.name());

/** What commander says of arguments that are no run. */
async function refusal(...args: string[]): Promise<{ readonly said: string; readonly code: string }> {
  let said = '';
  const program = buildProgram(args);
  for (const command of [program, ...program.commands])
    command.configureOutput({
      writeOut: (text) => {
        said += text;
      },
      writeErr: (text) => {
        said += text;
      },
    });
  const error = await program.parseAsync(args, { from: 'user' }).catch((thrown: unknown) => thrown);
  if (!(error instanceof CommanderError)) throw new Error(`it was taken: ${args.join(' ')}`, { cause: error });
  return { said, code: error.code };
}

describe('the command line of the benchmarks', () => {
  it('names every benchmark, and how long it takes', async () => {
    const { said } = await refusal('--help');
    for (const name of benchmarks) expect(said).toMatch(new RegExp(`^ {2}${name} .*`, 'm'));
    expect(said).toContain('npm run bench -- pipeline');
  });

  it.each(benchmarks)('has help for %s, with examples and a time', async (name) => {
    const { said } = await refusal(name, '--help');
    expect(said).toContain(`Usage: npm run bench -- ${name} [flags]`);
    expect(said).toMatch(/minutes|hour/);
    for (const text of ['--json', '--record', `Examples:\n  npm run bench -- ${name}`]) expect(said).toContain(text);
  });

  it.each(benchmarks)('takes the examples of %s', async (name) => {
    const { said } = await refusal(name, '--help');
    const [, examples = ''] = said.split('Examples:\n');
    for (const example of examples.trim().split('\n')) {
      const args = example.trim().replace('npm run bench -- ', '').split(' ');
      // With --help last nothing runs, but what stands before it is looked at.
      expect((await refusal(...args, '--help')).code, example).toBe('commander.helpDisplayed');
    }
  });

  it.each([
    [['nonsense'], "bench: unknown command 'nonsense'"],
    [['pipeline', '--nonsense'], "bench: unknown option '--nonsense'"],
    [['pipeline', '--codecs', 'none,rar'], 'Allowed: all, or some of none, gzip, snappy, lz4, zstd.'],
    [['pipeline', '--spans', '10,x'], 'Allowed: an integer from 0.'],
    [['pipeline', '--total', '60000'], 'Allowed: an integer from 200000.'],
    [['kernels', '--only', 'spilt'], 'Allowed: all, or some of split, hash,'],
    [['kernels', '--only', 'split', '--record'], 'leave --only out'],
    [['soak', '--role', 'deliver'], 'Allowed choices are process, bridge.'],
    [['soak', '--minutes', '0'], 'Allowed: an integer from 1.'],
  ])('refuses %j in a sentence', async (args, sentence) => {
    const { said } = await refusal(...args);
    expect(said).toContain(sentence);
    expect(said).toContain('npm run bench -- --help');
  });

  it('ends with 2 and no stack trace on what it does not understand', () => {
    const { status, stderr } = spawnSync(process.execPath, [RUN, 'pipeline', '--help-me'], { encoding: 'utf8' });
    expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.not.stringContaining('    at ') });
    expect(spawnSync(process.execPath, [RUN, '--help']).status).toBe(0);
  });

  it('is in CONTRIBUTING.md', () => {
    const contributing = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8');
    for (const name of benchmarks) expect(contributing).toContain(`npm run bench -- ${name}`);
  });
});
