/** CPU and memory of this process. */
import type { Usage } from './load-report.ts';

/** Each call answers for the time since the one before. */
export function createUsageMeter(): () => Usage {
  let cpu = process.cpuUsage();
  let atMs = performance.now();
  return () => {
    const [beforeMs, used] = [atMs, process.cpuUsage(cpu)];
    cpu = process.cpuUsage();
    atMs = performance.now();
    const busyMs = (used.user + used.system) / 1_000;
    return { cpuCores: busyMs / Math.max(atMs - beforeMs, 1), rssBytes: process.memoryUsage.rss() };
  };
}
