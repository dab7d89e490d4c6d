import type { Config } from '../config.ts';
import { startBridgePart } from './bridge-part.ts';
import { type RoleOptions, runParts } from './run.ts';

/** `weir bridge` */
export function runBridge(config: Config, options: RoleOptions): Promise<void> {
  return runParts('bridge', config, options, [startBridgePart]);
}
