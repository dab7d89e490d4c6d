import type { RequestCounts } from './kernel.ts';
import { type Field, fieldsOf, isLen } from './reference-rule.ts';

/** Counts what a request without fault holds. */
export function countsOf(request: Uint8Array): RequestCounts {
  const inside = (parents: readonly Field[], number: number) =>
    parents.flatMap(({ content, end }) => fieldsOf(request, content, end)).filter((field) => isLen(field, number));
  const resources = fieldsOf(request, 0, request.length).filter((field) => isLen(field, 1));
  const scopes = inside(resources, 2);
  return { resources: resources.length, scopes: scopes.length, items: inside(scopes, 2).length };
}
