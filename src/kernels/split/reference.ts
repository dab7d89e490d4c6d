/**
 * The split kernel in plain JS: obviously right first. A record is walked whole, its items are routed and placed on
 * paper, and only then do outputs and aggregates change, so a refused record leaves no trace.
 */
import type { Signal } from '../../signals.ts';
import { checkRouting } from './check-routing.ts';
import {
  CALL_BOUNDS,
  MAX_GROUPS,
  RECORD_STATUS,
  type RecordStatus,
  type Routing,
  type ShardOutput,
  type SplitInput,
  type SplitKernel,
  type SplitLimits,
  type SplitResult,
} from './kernel.ts';
import { createReferenceAggregates } from './reference-aggregates.ts';
import { countsOf } from './reference-count.ts';
import { type Route, routeItem } from './reference-route.ts';
import { faultOf } from './reference-rule.ts';
import {
  frameOf,
  type Item,
  type WalkedRequest,
  type WalkedResource,
  type WalkedScope,
  walkRequest,
} from './reference-walk.ts';

/** Most that the tag and length around a resource or scope take. */
const FRAME_BYTES = 6;

export function createReferenceSplit(): SplitKernel {
  const routings = new Map<Signal, Routing>();
  /** What was handed to `split` last. */
  const handed = new Map<Signal, Routing>();
  let busyMs = 0;
  let leasedBytes = 0;

  function setRouting(signal: Signal, routing: Routing): void {
    checkRouting(routing);
    routings.set(signal, { ...routing, slots: routing.slots.slice(), overrides: new Map(routing.overrides) });
    handed.set(signal, routing);
  }

  return {
    name: 'reference',
    setRouting,
    async split(signal, input, limits, wanted) {
      if (wanted && wanted !== handed.get(signal)) setRouting(signal, wanted);
      const routing = routings.get(signal);
      if (!routing) throw new Error(`split of ${signal} before setRouting`);
      checkGroups(input);
      const startedMs = performance.now();
      const result = splitPoll(signal, routing, input, limits);
      busyMs += performance.now() - startedMs;

      let outputBytes = result.outputs.reduce((sum, output) => sum + output.value.length, 0);
      leasedBytes += outputBytes;
      return {
        ...result,
        release() {
          leasedBytes -= outputBytes;
          outputBytes = 0;
        },
      };
    },
    async validate(signal, request) {
      const fault = faultOf(request, signal);
      return fault ? { kind: 'malformed', fault } : { kind: 'valid', counts: countsOf(request) };
    },
    get busySeconds() {
      return busyMs / 1000;
    },
    hasRoom: true,
    get memoryBytes() {
      let tableBytes = 0;
      for (const routing of routings.values()) tableBytes += routing.slots.byteLength;
      return tableBytes + leasedBytes;
    },
  };
}

function checkGroups({ values, groups }: SplitInput): void {
  if (!groups) return;
  if (groups.length < values.length) throw new RangeError(`${values.length} values, but ${groups.length} groups`);
  const beyond = groups.findIndex((group) => group >= MAX_GROUPS);
  if (beyond >= 0) throw new RangeError(`record ${beyond} is of group ${groups[beyond]}, but there are ${MAX_GROUPS}`);
}

function splitPoll(
  signal: Signal,
  routing: Routing,
  input: SplitInput,
  limits: SplitLimits,
): Omit<SplitResult, 'release'> {
  const statuses: RecordStatus[] = [];
  const aggregates = createReferenceAggregates(signal, routing.selector);
  const outputs = new Map<string, ShardOutputs>();
  let inputBytes = 0;
  let counts: Counts = { items: 0, resources: 0, scopes: 0 };
  let outputBytes = 0;

  // A record that would cross a bound of the call ends it; the first one is refused, or no call would ever take it.
  for (const [index, value] of input.values.entries()) {
    if (index === CALL_BOUNDS.records) break;
    const valueBytes = value?.length ?? 0;
    if (inputBytes + valueBytes > CALL_BOUNDS.inputBytes) {
      if (index === 0) statuses.push(RECORD_STATUS.output_too_large);
      break;
    }
    inputBytes += valueBytes;
    if (value === null) {
      statuses.push(RECORD_STATUS.null_value);
      continue;
    }
    const request = walkRequest(value, signal);
    if (request === null) {
      statuses.push(RECORD_STATUS.malformed);
      continue;
    }
    const located = itemsOf(request);
    const countsAfter = added(counts, request.resources);
    if (crossesBound(countsAfter)) {
      if (index > 0) break;
      statuses.push(RECORD_STATUS.too_many_items);
      continue;
    }
    if (located.some((item) => costOf(item, EMPTY) > limits.maxRecordBytes)) {
      statuses.push(RECORD_STATUS.item_too_large);
      continue;
    }

    const group = input.groups?.[index] ?? 0;
    const routed = located.map((item) => ({ ...item, route: routeItem(value, item.item, item.resource, routing) }));
    const placements = place(routed, group, outputs, limits.maxRecordBytes);
    const cost = placements.reduce((sum, placement) => sum + placement.cost, 0);
    if (outputBytes + cost > limits.maxOutputBytes) {
      if (index > 0) break;
      statuses.push(RECORD_STATUS.output_too_large);
      continue;
    }

    statuses.push(RECORD_STATUS.ok);
    counts = countsAfter;
    outputBytes += cost;
    for (const placement of placements) append(outputs, placement, value, group);
    for (const { item, resource, route } of routed) aggregates.add(value, item, resource, route);
  }

  return {
    taken: statuses.length,
    statuses,
    outputs: [...outputs.values()]
      .sort((a, b) => a.shard - b.shard || a.group - b.group)
      .flatMap(({ shard, group, records }) =>
        records.map((record): ShardOutput => ({ shard, group, value: encode(record) })),
      ),
    aggregates: aggregates.finish(),
  };
}

/** Occurrences in the records taken so far, empty ones too. */
interface Counts {
  readonly items: number;
  readonly resources: number;
  readonly scopes: number;
}

function added(counts: Counts, resources: readonly WalkedResource[]): Counts {
  const scopes = resources.flatMap((resource) => resource.scopes);
  return {
    items: scopes.reduce((sum, scope) => sum + scope.items.length, counts.items),
    resources: counts.resources + resources.length,
    scopes: counts.scopes + scopes.length,
  };
}

function crossesBound({ items, resources, scopes }: Counts): boolean {
  return items > CALL_BOUNDS.items || resources > CALL_BOUNDS.resources || scopes > CALL_BOUNDS.scopes;
}

interface LocatedItem {
  readonly item: Item;
  readonly request: WalkedRequest;
  readonly resource: WalkedResource;
  readonly scope: WalkedScope;
}

interface RoutedItem extends LocatedItem {
  readonly route: Route;
}

function itemsOf(request: WalkedRequest): LocatedItem[] {
  return request.resources.flatMap((resource) =>
    resource.scopes.flatMap((scope) => scope.items.map((item) => ({ item, request, resource, scope }))),
  );
}

/** All that one (shard, group) gets of the poll. */
interface ShardOutputs {
  readonly shard: number;
  readonly group: number;
  readonly records: OutputRecord[];
  /** Of the last record: bytes charged, and what is open in it. */
  end: RecordEnd;
}

interface RecordEnd {
  readonly fillBytes: number;
  readonly request: WalkedRequest | null;
  readonly resource: WalkedResource | null;
  readonly scope: WalkedScope | null;
}

/** A request under construction. `source` is the record that the offsets are into. */
type OutputRecord = Array<{
  readonly source: Uint8Array;
  readonly request: WalkedRequest;
  readonly resource: WalkedResource;
  readonly scopes: Array<{ readonly scope: WalkedScope; readonly items: Item[] }>;
}>;

interface Placement extends RoutedItem {
  readonly beginsRecord: boolean;
  readonly opensResource: boolean;
  readonly opensScope: boolean;
  readonly cost: number;
  readonly end: RecordEnd;
}

const EMPTY: RecordEnd = { fillBytes: 0, request: null, resource: null, scope: null };

const outputKey = (shard: number, group: number) => `${shard}/${group}`;

/** Bytes charged for an item at the end of an output record: at least what it comes to take. */
function costOf({ item, request, resource, scope }: LocatedItem, open: RecordEnd): number {
  return (
    item.frame.end -
    item.frame.start +
    (request === open.request ? 0 : request.fieldBytes) +
    (resource === open.resource ? 0 : resource.envelopeBytes + FRAME_BYTES) +
    (scope === open.scope ? 0 : scope.fieldBytes + FRAME_BYTES)
  );
}

/** Forward greedy: each item joins the last record of its (shard, group), or begins a new one where it does not fit. */
function place(
  items: readonly RoutedItem[],
  group: number,
  outputs: ReadonlyMap<string, ShardOutputs>,
  maxRecordBytes: number,
): Placement[] {
  const ends = new Map<number, RecordEnd>();
  return items.map((routed) => {
    const { request, resource, scope, route } = routed;
    const before = ends.get(route.shard) ?? outputs.get(outputKey(route.shard, group))?.end;
    const fits = before !== undefined && before.fillBytes + costOf(routed, before) <= maxRecordBytes;
    const open = fits ? before : EMPTY;
    const cost = costOf(routed, open);
    const end = { fillBytes: open.fillBytes + cost, request, resource, scope };
    ends.set(route.shard, end);
    return {
      ...routed,
      beginsRecord: !fits,
      opensResource: resource !== open.resource,
      opensScope: scope !== open.scope,
      cost,
      end,
    };
  });
}

function append(outputs: Map<string, ShardOutputs>, placement: Placement, source: Uint8Array, group: number): void {
  const { item, request, resource, scope, route } = placement;
  const key = outputKey(route.shard, group);
  const output = outputs.get(key) ?? { shard: route.shard, group, records: [], end: EMPTY };
  outputs.set(key, output);
  if (placement.beginsRecord) output.records.push([]);
  const record = output.records.at(-1)!;
  if (placement.opensResource) record.push({ source, request, resource, scopes: [] });
  const { scopes } = record.at(-1)!;
  if (placement.opensScope) scopes.push({ scope, items: [] });
  scopes.at(-1)!.items.push(item);
  output.end = placement.end;
}

const TAG_RESOURCE = 0x0a;
const TAG_SCOPE = 0x12;

function encode(record: OutputRecord): Uint8Array {
  const resources = record.flatMap(({ source, request, resource, scopes }, index) => {
    const opensRequest = request !== record[index - 1]?.request;
    const around = opensRequest ? request.fields.map((field) => frameOf(source, field)) : [];
    const envelope = resource.envelope.map((field) => frameOf(source, field));
    const scopeFrames = scopes.flatMap(({ scope, items }) => {
      const fields = scope.fields.map((field) => frameOf(source, field));
      return framed(TAG_SCOPE, [...fields, ...items.map((item) => frameOf(source, item.frame))]);
    });
    return [...around, ...framed(TAG_RESOURCE, [...envelope, ...scopeFrames])];
  });
  return Buffer.concat(resources);
}

function framed(tag: number, content: readonly Uint8Array[]): Uint8Array[] {
  const head = [tag];
  let rest = content.reduce((sum, chunk) => sum + chunk.length, 0);
  for (; rest > 0x7f; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  head.push(rest);
  return [Uint8Array.from(head), ...content];
}
