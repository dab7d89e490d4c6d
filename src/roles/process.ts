import { availableParallelism } from 'node:os';
import type { Config } from '../config.ts';
import { keepMemorySmall } from './memory.ts';
import { startProcessPart } from './process-part.ts';
import { type RoleContext, type RoleOptions, runParts } from './run.ts';
import { startWorkersPart } from './workers-part.ts';

/** `weir process` */
export function runProcess(config: Config, options: RoleOptions): Promise<void> {
  keepMemorySmall();
  return runParts('process', config, options, [startProcessing]);
}

/** One worker is this process itself. The in-process log cannot be shared, so there it is one, too. */
function startProcessing(context: RoleContext) {
  const { kafka, config } = context;
  const workers = kafka.kind === 'memory' ? 1 : (config.process.workers ?? availableParallelism());
  return workers === 1 ? startProcessPart(context) : startWorkersPart(context, workers);
}
