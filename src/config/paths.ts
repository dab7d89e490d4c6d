/** Values by their key, such as `kafka.tls.enabled`, in nested settings. */

/** undefined: nothing stands there. */
export function getAt(values: unknown, key: string): unknown {
  return key.split('.').reduce<unknown>((value, name) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    return (value as Record<string, unknown>)[name];
  }, values);
}

export function setAt(values: Record<string, unknown>, key: string, value: unknown): void {
  const path = key.split('.');
  const last = path.pop() ?? key;
  let group = values;
  for (const name of path) {
    const inner = group[name];
    if (inner === undefined || inner === null) group[name] = {};
    // A scalar where a group belongs stays, for the schema to tell.
    else if (typeof inner !== 'object' || Array.isArray(inner)) return;
    group = group[name] as Record<string, unknown>;
  }
  group[last] = value;
}
