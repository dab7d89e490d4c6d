#!/usr/bin/env node
/** `weir`: reads the command line, runs one command, and turns its end into an exit code (see cli/exit.ts). */
import { exitAfter } from './cli/exit.ts';
import { runCommandLine } from './cli/program.ts';

await exitAfter(() => runCommandLine(process.argv.slice(2)));
