import type { Signal } from '../../signals.ts';
import type { RequestCounts } from './kernel.ts';
import { type Field, fieldsOf, isLen } from './reference-rule.ts';

/** Metric: 5 gauge, 7 sum, 9 histogram, 10 exponential histogram, 11 summary. */
const KINDS = [5, 7, 9, 10, 11];

/** Counts what a request without fault holds. */
export function countsOf(request: Uint8Array, signal: Signal): RequestCounts {
  const inside = (parents: readonly Field[], numbers: readonly number[]) =>
    parents
      .flatMap(({ content, end }) => fieldsOf(request, content, end))
      .filter((field) => numbers.some((number) => isLen(field, number)));
  const resources = fieldsOf(request, 0, request.length).filter((field) => isLen(field, 1));
  const scopes = inside(resources, [2]);
  const items = inside(scopes, [2]);
  const points = signal === 'metrics' ? inside(inside(items, KINDS), [1]) : items;
  return { resources: resources.length, scopes: scopes.length, items: items.length, points: points.length };
}
