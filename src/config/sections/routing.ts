/** `routing`: which key decides where an item goes, and among how many shards. */
import { z } from 'zod';
import { text } from './fields.ts';

/** 'trace_id' | 'service.name' | 'resource' | 'metric.name' | 'resource:<attribute name>' | 'item:<attribute name>'. */
const routingKey = (names: readonly string[], owners: readonly string[]) => {
  const byAttribute = owners.map((owner) => `${owner}:<attribute>`);
  const allowed = `${[...names, ...byAttribute.slice(0, -1)].join(', ')} or ${byAttribute.at(-1)}`;
  const pattern = new RegExp(`^(${owners.join('|')}):.+$`);
  return z
    .string()
    .refine((value) => names.includes(value) || pattern.test(value), allowed)
    .meta({ allowed });
};

/** A metric has no attributes of its own: those of its data points differ from point to point. */
const signalRouting = (item: string, keys: readonly string[], usual: string, owners = ['resource', 'item']) =>
  z
    .strictObject({
      key: routingKey(keys, owners)
        .default(usual)
        .describe(`what decides where a ${item} goes; without it service.name, then resource`),
      shards: z.number().int().min(1).max(4_096).default(16).describe(`shards, and so shard topics, for ${item}s`),
    })
    .prefault({});

const override = z.strictObject({
  signal: z.enum(['traces', 'metrics', 'logs']),
  /** As in `weir inspect`: 32 hex digits for a trace id, else the text. */
  key: text(),
  shard: z.number().int().min(0),
});

export const routingSchema = z
  .strictObject({
    traces: signalRouting('span', ['trace_id', 'service.name', 'resource'], 'trace_id'),
    metrics: signalRouting('metric', ['resource', 'service.name', 'metric.name'], 'resource', ['resource']),
    logs: signalRouting('log record', ['trace_id', 'service.name', 'resource'], 'trace_id'),
    vnodes: z.number().int().min(1).max(4_096).default(160).describe('virtual nodes a shard on the ring'),
    keepHeaders: z
      .array(text())
      .max(8)
      .default(['tenant'])
      .describe('record headers to keep; records of different values never share a shard record'),
    overrides: z
      .array(override)
      .max(1_024)
      .meta({ allowed: 'a list of {signal, key, shard}, at most 1024' })
      .default([])
      .describe('keys that go to a shard of their own; key: 32 hex digits for a trace id, else the text'),
  })
  .superRefine((routing, context) => {
    const seen = new Set<string>();
    for (const [index, { signal, key, shard }] of routing.overrides.entries()) {
      const fail = (field: string, message: string) =>
        context.addIssue({ code: 'custom', path: ['overrides', index, field], message });
      if (shard >= routing[signal].shards) fail('shard', `0 to ${routing[signal].shards - 1}, the shards of ${signal}`);
      if (seen.has(`${signal}/${key}`)) fail('key', `one override a key of ${signal}`);
      seen.add(`${signal}/${key}`);
    }
  })
  .prefault({});
