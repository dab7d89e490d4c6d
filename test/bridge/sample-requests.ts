/** Requests of items of chosen sizes, in protobuf and in OTLP/JSON. */
import type { Signal } from '../../src/signals.ts';
import * as otlp from '../support/otlp-pieces.ts';
import { decodeItems } from '../support/otlp-schema.ts';

const { item, len, resource, resourceX, scope, text } = otlp;

/** Data points of each metric. */
export const POINTS = 4;

/** An item of about so many bytes. */
export const ITEMS: Readonly<Record<Signal, (name: string, bytes: number) => Uint8Array>> = {
  traces: (name, bytes) => item(text(5, name), text(3, 'x'.repeat(bytes))),
  metrics: (name, bytes) =>
    item(text(1, name), text(2, 'x'.repeat(bytes)), len(5, ...new Array<Uint8Array>(POINTS).fill(len(1)))),
  logs: (name, bytes) => item(text(12, name), text(3, 'x'.repeat(bytes))),
};

/** One resource with one scope, and in it an `item 0`, `item 1`, … for each size. */
export function requestOf(signal: Signal, sizes: readonly number[]): Uint8Array {
  const items = sizes.map((bytes, n) => ITEMS[signal](`item ${n}`, bytes));
  return resourceX(resource({ 'service.name': 'cart' }), scope(len(1, text(1, 'lib')), ...items));
}

export function jsonOf(signal: Signal, sizes: readonly number[]): string {
  const dataPoints = new Array<object>(POINTS).fill({});
  const jsonItem = (bytes: number, n: number) =>
    ({
      traces: { name: `item ${n}`, traceState: 'x'.repeat(bytes) },
      metrics: { name: `item ${n}`, description: 'x'.repeat(bytes), gauge: { dataPoints } },
      logs: { eventName: `item ${n}`, severityText: 'x'.repeat(bytes) },
    })[signal];
  const [outer, middle, inner] = JSON_KEYS[signal];
  return JSON.stringify({ [outer]: [{ [middle]: [{ [inner]: sizes.map(jsonItem) }] }] });
}

export const JSON_KEYS: Readonly<Record<Signal, readonly [resources: string, scopes: string, items: string]>> = {
  traces: ['resourceSpans', 'scopeSpans', 'spans'],
  metrics: ['resourceMetrics', 'scopeMetrics', 'metrics'],
  logs: ['resourceLogs', 'scopeLogs', 'logRecords'],
};

export const namesIn = (signal: Signal, request: Uint8Array): string[] =>
  decodeItems(signal, request).map(({ item }) => {
    const { name, eventName } = JSON.parse(item);
    return name ?? eventName;
  });
