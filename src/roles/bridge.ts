import type { Config } from '../config.ts';
import { keepMemorySmall } from './memory.ts';
import type { RoleOptions } from './run.ts';

/** `weir bridge` */
export async function runBridge(config: Config, options: RoleOptions): Promise<void> {
  // Before the modules are loaded, which alone would make it grow.
  keepMemorySmall();
  const [{ runParts }, { startBridgePart }] = await Promise.all([import('./run.ts'), import('./bridge-part.ts')]);
  await runParts('bridge', config, options, [startBridgePart]);
}
