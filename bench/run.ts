/** `npm run bench -- NAME [flags]`; `npm run bench -- --help` tells which there are. */
import { CommanderError } from 'commander';
import { EXIT, exitAfter } from '../src/cli/exit.ts';
import { exitOnSignals } from './child.ts';
import { buildProgram } from './command-line.ts';

exitOnSignals();
await exitAfter(async () => {
  const args = process.argv.slice(2);
  try {
    await buildProgram(args).parseAsync(args, { from: 'user' });
    return EXIT.done;
  } catch (error) {
    // Commander has printed what there is to say: help on stdout, misuse on stderr.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    throw error;
  }
});
