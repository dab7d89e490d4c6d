/** Every part of a process is a member of its own, and says so on `weir.load`: in `weir up` there are three. */
import { weirVersion } from '../cli/version.ts';
import type { Reporter } from '../load/load-report.ts';
import { type LoadReporter, startLoadReporter } from '../load/reporter.ts';
import type { RoleContext } from './run.ts';

export const memberId = ({ member }: Pick<RoleContext, 'member'>, role: Reporter['role']): string =>
  `${member}-${role}`;

/** From now on this part is seen; `close` says that it leaves. */
export async function startMemberReporter(
  context: Pick<RoleContext, 'config' | 'names' | 'kafka' | 'kernels' | 'metrics' | 'log' | 'member'>,
  role: Reporter['role'],
): Promise<LoadReporter> {
  const { config, names, kafka, kernels, metrics, log } = context;
  const producer = await kafka.port.producer();
  const reporter = startLoadReporter({
    producer,
    topic: names.load,
    reporter: { id: memberId(context, role), role, version: weirVersion() },
    intervalMs: config.load.reportIntervalMs,
    slotIntervalMs: config.load.slotIntervalMs,
    aggregate: kernels.aggregate,
    metrics,
    log,
  });
  return {
    ...reporter,
    async close() {
      await reporter.close().finally(() => producer.close());
    },
  };
}
