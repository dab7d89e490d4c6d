/** `npm run bench -- soak`: whether a role that works for long stays as it was. */
import type { Row } from '../rows.ts';
import { soakBridge } from './bridge.ts';
import { soakProcess } from './process.ts';

const ROLES = {
  process: { minutes: 30, soak: soakProcess },
  bridge: { minutes: 10, soak: soakBridge },
} as const;

export async function run(
  options: Record<string, string | boolean | undefined>,
  say: (text: string) => void,
): Promise<readonly Row[]> {
  const name = String(options.role ?? 'process');
  const role = Object.hasOwn(ROLES, name) ? ROLES[name as keyof typeof ROLES] : undefined;
  if (!role) throw new Error(`--role ${name}: may be ${Object.keys(ROLES).join(' or ')}`);
  const minutes = Number(options.minutes ?? role.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes ${options.minutes}: must be a number above 0`);
  return role.soak(minutes, say);
}
