/** What can be soaked, and for how long usually. */
export const ROLES = { process: { minutes: 30 }, bridge: { minutes: 10 } } as const;
export type Role = keyof typeof ROLES;
