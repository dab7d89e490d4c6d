import { openInstallationView } from '../api/installation-view.ts';
import { startController } from '../runtime/controller.ts';
import { memberId, startMemberReporter } from './member-reporter.ts';
import type { Part, RoleContext } from './run.ts';

export async function startControlPart(context: RoleContext): Promise<Part> {
  const { config, names, kafka, kernels, metrics, log } = context;
  const view = await openInstallationView({ port: kafka.port, names, config, log });
  const controller = await startController({
    port: kafka.port,
    names,
    config,
    kernels,
    metrics,
    log,
    memberName: memberId(context, 'control'),
  });
  const reporter = await startMemberReporter(context, 'control');
  return {
    view,
    waitsFor: () => null,
    done: controller.done,
    async close() {
      await controller.close();
      await reporter.close();
      await view.close();
    },
  };
}
