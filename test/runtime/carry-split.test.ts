import { describe, expect, it } from 'vitest';
import { firstRing } from '../../src/coordination/first-ring.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';
import { BY_TRACE_ID, type Override } from '../../src/kernels/split/kernel.ts';
import { createReferenceSplit } from '../../src/kernels/split/reference.ts';
import type { CarriedChange, Origin } from '../../src/runtime/carry-changes.ts';
import { carryRoutings } from '../../src/runtime/carry-routing.ts';
import { splitCarried } from '../../src/runtime/carry-split.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';
import { item, len, resource, resourceX, scope } from '../support/otlp-pieces.ts';
import { decodeItems } from '../support/otlp-schema.ts';

const { traces } = firstRing(testConfig(), kernels.ring, kernels.hash).signals;
const hashOf = (bytes: Uint8Array) => kernels.hash.xxh64(bytes);
const SERVICE = 'checkout';
const KEY = hashOf(Buffer.from(SERVICE));
const base: SignalRing = { ...traces, key: 'service.name' };
const shards = base.shards.map(({ id }) => id);
const owner = base.slots[Number(KEY >> 48n)]!;
const traceIds = Array.from({ length: 100 }, (_, n) => Buffer.alloc(16, `trace ${n}`));
const shardByTrace = ({ slots }: SignalRing, traceId: Uint8Array) => slots[Number(hashOf(traceId) >> 48n)]!;

/** By trace: where a span of the key that lies in the shard `from` is copied to; those that stay are left out. */
async function copied(
  before: SignalRing,
  next: SignalRing,
  from: number,
  past: readonly CarriedChange[] = [],
  origin: Origin = { ringEpoch: 9, shard: from },
): Promise<Map<string, number>> {
  const routings = carryRoutings(before, next, from, past)(origin);
  const service = resource({ 'service.name': SERVICE });
  const values = traceIds.map((id) => resourceX(service, scope(item(len(1, id), len(2, id.subarray(0, 8))))));
  // Small outputs, so that one call may not take all.
  const limits = { maxRecordBytes: 400, maxOutputBytes: 1_000_000 };
  const split = await splitCarried(createReferenceSplit(), 'traces', { values }, limits, routings);
  expect(split.taken).toBe(values.length);
  expect(split.loads.reduce((sum, { items }) => sum + items, 0)).toBe(values.length);
  const places = split.outputs.flatMap(({ shard, value }) =>
    shard === from ? [] : decodeItems('traces', value).map(({ traceId }) => [traceId, shard] as const),
  );
  split.release();
  expect(new Set(places.map(([id]) => id)).size).toBe(places.length);
  return new Map(places);
}

const overridden = (to: Override): SignalRing => ({ ...base, overrides: new Map([[KEY, to]]) });
const expected = (to: (traceId: Uint8Array) => number | null) =>
  new Map(
    traceIds.flatMap((id) => {
      const shard = to(id);
      return shard === null ? [] : [[id.toString('hex'), shard] as const];
    }),
  );

describe('copies of a key', () => {
  it('that begins to be spread go from the shard that had it to where its traces belong', async () => {
    const spread = overridden(BY_TRACE_ID);
    for (const [before, had] of [
      [base, owner],
      [overridden((owner + 1) % shards.length), (owner + 1) % shards.length],
    ] as const) {
      for (const from of shards) {
        const by = (id: Uint8Array) =>
          from === had && shardByTrace(spread, id) !== from ? shardByTrace(spread, id) : null;
        expect(await copied(before, spread, from)).toEqual(expected(by));
      }
    }
  });

  it('that is spread no more go from every shard to its one, and only what the shard had of it', async () => {
    for (const next of [base, overridden((owner + 1) % shards.length)]) {
      const to = next === base ? owner : (owner + 1) % shards.length;
      for (const from of shards) {
        const by = (id: Uint8Array) => (from !== to && shardByTrace(base, id) === from ? to : null);
        expect(await copied(overridden(BY_TRACE_ID), next, from)).toEqual(expected(by));
      }
    }
  });

  it('go to no shard that has them, however often it is spread and given back', async () => {
    const spread = overridden(BY_TRACE_ID);
    const change = (epoch: number, shard: Override | null): CarriedChange => {
      const overrides = [{ keyHash: KEY.toString(16).padStart(16, '0'), shard }];
      return { epoch, abandons: null, change: { moves: [], added: [], retired: [], overrides } };
    };
    const past = [change(2, BY_TRACE_ID), change(3, null)];
    const away = shards.find((shard) => shard !== owner)!;
    const again = (origin: Origin) => copied(base, spread, owner, past, origin);
    // What came to its one shard was copied when it was spread; what came while it was, lies where it is to go.
    expect(await again({ ringEpoch: 1, shard: owner })).toEqual(new Map());
    const others = (home: number) =>
      expected((id) => ([owner, home].includes(shardByTrace(base, id)) ? null : shardByTrace(base, id)));
    expect(await again({ ringEpoch: 2, shard: away })).toEqual(others(away));
    expect(await again({ ringEpoch: 3, shard: owner })).toEqual(others(owner));
    // Given back: the copies of what came to the owner find it there, what came meanwhile does not.
    const back = (origin: Origin) => copied(spread, base, away, past.slice(0, 1), origin);
    expect(await back({ ringEpoch: 1, shard: owner })).toEqual(new Map());
    expect(await back({ ringEpoch: 2, shard: away })).toEqual(
      expected((id) => (shardByTrace(base, id) === away ? owner : null)),
    );
    // A slot of a trace goes away and comes back.
    const slot = spread.slots.findIndex(
      (shard, at) => shard === away && traceIds.some((id) => Number(hashOf(id) >> 48n) === at),
    );
    const moved = { ...spread, slots: spread.slots.with(slot, owner) };
    const there: CarriedChange = {
      epoch: 4,
      abandons: null,
      change: { ...past[0]!.change, moves: [{ from: away, to: owner, runs: [slot, 1] }], overrides: [] },
    };
    const returning = (origin: Origin) => copied(moved, spread, owner, [past[0]!, there], origin);
    expect(await returning({ ringEpoch: 1, shard: owner })).toEqual(new Map());
    expect(await returning({ ringEpoch: 2, shard: away })).toEqual(new Map());
    expect((await returning({ ringEpoch: 4, shard: owner })).size).toBeGreaterThan(0);
  });

  it('that stays spread go with the slots of its traces', async () => {
    const spread = overridden(BY_TRACE_ID);
    const slots = spread.slots.map((shard, slot) => (shard === 1 && slot % 2 === 0 ? 2 : shard));
    const by = (id: Uint8Array) =>
      shardByTrace(spread, id) === 1 && shardByTrace({ ...spread, slots }, id) === 2 ? 2 : null;
    const places = await copied(spread, { ...spread, slots }, 1);
    expect(places).toEqual(expected(by));
    expect(places.size).toBeGreaterThan(3);
    expect(await copied(spread, { ...spread, slots }, 0)).toEqual(new Map());
  });
});
