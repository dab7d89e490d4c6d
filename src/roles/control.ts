import type { Config } from '../config.ts';
import { startControlPart } from './control-part.ts';
import { type RoleOptions, runParts } from './run.ts';

/** `weir control` */
export function runControl(config: Config, options: RoleOptions): Promise<void> {
  return runParts('control', config, options, [startControlPart]);
}
