import type { Config } from '../config.ts';
import { startProcessPart } from './process-part.ts';
import { type RoleOptions, runParts } from './run.ts';

/** `weir process` */
export function runProcess(config: Config, options: RoleOptions): Promise<void> {
  return runParts('process', config, options, [startProcessPart]);
}
