/** Members as the API shows them: what they report, and what the control log says of them. */
import type { ControlState } from '../coordination/state.ts';
import type { MemberView } from '../runtime/reporting-members.ts';
import type { DepartedDocument, MemberChangeDocument, MemberDocument } from './documents.ts';
import { isoTime } from './iso-time.ts';

type Members = Pick<ControlState, 'members' | 'departed'>;

/** By role and id. One that is said to be lost is left out until it is heard again. */
export function memberDocuments({ members, departed }: Members, views: readonly MemberView[]): MemberDocument[] {
  return views
    .filter(({ id, lastHeardUnixMs }) => lastHeardUnixMs > (departed.get(id)?.reportedAt ?? -1))
    .map(({ id, role, version, lastHeardUnixMs, usage, ...rest }) => {
      const since = members.get(id)?.since;
      return {
        ...{
          id,
          role,
          version,
          lastReport: isoTime(lastHeardUnixMs),
          since: since === undefined ? null : isoTime(since),
        },
        ...{ cpuCores: usage?.cpuCores ?? null, memoryBytes: usage?.rssBytes ?? null },
        ...rest,
      };
    })
    .sort((a, b) => a.role.localeCompare(b.role) || a.id.localeCompare(b.id));
}

export function departedDocuments({ departed }: Members): DepartedDocument[] {
  return [...departed]
    .map(([id, { role, release, how, reportedAt, at }]) => {
      const lastReport = reportedAt === 0 ? null : isoTime(reportedAt);
      return { id, role, version: release, how, lastReport, at: isoTime(at) };
    })
    .reverse();
}

/** From one state of the log to a later one. */
export function memberChanges(before: Members, after: Members): MemberChangeDocument[] {
  if (before.members === after.members) return [];
  const changes: MemberChangeDocument[] = [];
  for (const [id, { role, release, since }] of after.members)
    if (!before.members.has(id)) changes.push({ id, role, version: release, change: 'joined', at: isoTime(since) });
  for (const [id, { role, release, how, at }] of after.departed)
    if (before.members.has(id) && !after.members.has(id))
      changes.push({ id, role, version: release, change: how, at: isoTime(at) });
  return changes;
}
