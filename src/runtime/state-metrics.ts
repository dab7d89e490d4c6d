/** What every controller shows of the control log, whoever leads: so an alert needs no leader. */
import type { ControlState } from '../coordination/state.ts';
import { ROLES } from '../load/load-report.ts';
import type { Metrics } from '../metrics.ts';

export function showState(
  metrics: Pick<Metrics, 'ringEpoch' | 'ringProposed' | 'ringWaiting' | 'members'>,
  { ring, proposed, members }: Pick<ControlState, 'ring' | 'proposed' | 'members'>,
): void {
  metrics.ringEpoch.set(ring?.epoch ?? 0);
  metrics.ringProposed.set(proposed ? proposed.at / 1_000 : 0);
  if (!proposed) metrics.ringWaiting.set(0);
  const roles = [...members.values()].map(({ role }) => role);
  for (const role of ROLES) metrics.members.set({ role }, roles.filter((of) => of === role).length);
}
