/** `npm run bench -- soak`: whether a role that works for long stays as it was. */
import type { Row } from '../rows.ts';
import { soakBridge } from './bridge.ts';
import { soakProcess } from './process.ts';
import { ROLES, type Role } from './roles.ts';

export { notes, table } from './table.ts';

const SOAKS = { process: soakProcess, bridge: soakBridge } as const;

export function run(
  { role, minutes = ROLES[role].minutes }: { readonly role: Role; readonly minutes?: number },
  say: (text: string) => void,
): Promise<readonly Row[]> {
  return SOAKS[role](minutes, say);
}
