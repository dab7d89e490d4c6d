/** A service that gets too hot for any shard, and cools down again: what is measured, decided and done about it, from the spans on, on any Kafka. */
import { afterEach, describe, expect, it } from 'vitest';
import { decodeDecision } from '../../src/control/decision.ts';
import type { RingEpoch } from '../../src/coordination/ring-epoch.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { BY_TRACE_ID } from '../../src/kernels/split/kernel.ts';
import { readAll } from '../coordination/cluster.ts';
import { item, len, resource, resourceX, scope, text } from '../support/otlp-pieces.ts';
import { decodeItems } from '../support/otlp-schema.ts';
import { openPipelineRig, type PipelineRig } from '../support/pipeline-rig.ts';
import { slotOf } from '../support/ring-census.ts';
import { recordsOf } from '../support/shard-census.ts';

const HOT = 'checkout';
const OTHERS = Array.from({ length: 24 }, (_, n) => `service-${n}`);
const SHARDS = 3;
const PADDING = text(5, 'x'.repeat(500));

export function hotKeySuite(name: string, connect: () => Promise<KafkaPort>): void {
  describe(`a hot service on ${name}`, { timeout: 90_000 }, () => {
    let rig: PipelineRig;
    afterEach(() => rig?.close());

    it('is spread over all shards by trace id until it has cooled down, and every span comes out once', async () => {
      rig = await openPipelineRig(await connect(), {
        routing: {
          vnodes: 160,
          traces: { key: 'service.name', shards: SHARDS },
          metrics: { shards: 1 },
          logs: { shards: 1 },
        },
        control: {
          tickMs: 50,
          windowMs: 1_000,
          ring: { carryMs: 20_000 },
          scaling: { stabilisationMs: 0 },
          // Slots stay where they are: what becomes even here becomes so by the key.
          rebalance: { hotRatio: 100, holdMs: 1_000, cooldownMs: 100 },
        },
      });
      const rings = new Map<number, RingEpoch>([[1, rig.ring]]);
      rig.control.onChange(({ ring }) => {
        if (ring) rings.set(ring.epoch, ring);
      });
      const traces = (epoch: number) => rings.get(epoch)!.signals.traces;
      const hash = rig.kernels.hash.xxh64(Buffer.from(HOT));
      const override = () => rig.control.state.ring!.signals.traces.overrides.get(hash);
      let spans = 0;
      /** A request of 100 spans. */
      const request = (hot: number) => {
        const services = Array.from({ length: 100 }, (_, i) => (i < hot ? HOT : OTHERS[(spans + i) % OTHERS.length]!));
        return Buffer.concat(
          services.map((service) => resourceX(resource({ 'service.name': service }), scope(spanOf(service, spans++)))),
        );
      };
      const traffic = async (hot: number, enough: () => boolean) => {
        for (let partition = 0; !enough(); partition = 1 - partition) {
          await rig.send('traces', [request(hot)], { partition });
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      };
      await rig.startController();
      for (let i = 0; i < 2; i++) await rig.startProcessor();

      await traffic(60, () => override() === BY_TRACE_ID);
      const spreadFrom = rig.control.state.ring!.epoch;
      expect(traces(spreadFrom).hotKeys).toEqual(new Map([[hash, `service.name=${HOT}`]]));
      expect(rig.control.state.ring!.touched.traces).toEqual([0, 1, 2]);
      const until = spans + 3_000;
      await traffic(60, () => spans >= until);
      await rig.drained();
      expect(override()).toBe(BY_TRACE_ID);
      const hotSpans = spans;
      await traffic(0, () => override() === undefined);
      await traffic(0, () => spans >= hotSpans + 500);
      await rig.drained();

      const decisions = (await readAll(rig.port, rig.names.decisions)).map((value) => decodeDecision(value)!);
      const made = decisions.flatMap((of) => (of.kind === 'hot_key' && of.status === 'proposed' ? [of] : []));
      expect(made.map(({ action, key }) => [action, key])).toEqual([
        ['spread_key', `service.name=${HOT}`],
        ['release_key', `service.name=${HOT}`],
      ]);
      expect(made[0]!.share).toBeGreaterThan(0.45);
      expect(made[0]!.reasons[0]!.text).toMatch(/^key service\.name=checkout is \d+\.\d % of traces /);
      const ends = decisions.filter(({ id }) => id === made[0]!.id).map(({ status }) => status);
      expect(ends.slice(0, 2)).toEqual(['proposed', 'applied']);

      const placeOf = (epoch: number, service: string, traceId: string) => {
        const { slots, overrides } = traces(epoch);
        const key = rig.kernels.hash.xxh64(Buffer.from(service));
        return slots[overrides.has(key) ? slotOf(traceId, 16) : Number(key >> 48n)]!;
      };
      const seen = new Map<string, number>();
      const copies = new Set<string>();
      const copiedBy = new Map<number, number>();
      const loads = new Map<number, number[]>();
      for (let shard = 0; shard < SHARDS; shard++) {
        for await (const { value, headers } of recordsOf(rig.port, rig.names.shard('traces', shard))) {
          const header = new Map(headers.map(([of, bytes]) => [of, Buffer.from(bytes).toString()]));
          const epoch = Number(header.get('weir-ring-epoch'));
          for (const { spanId, traceId, resource: around } of decodeItems('traces', value!)) {
            const service = JSON.parse(around).resource.attributes[0].value.stringValue as string;
            expect(shard).toBe(placeOf(epoch, service, traceId));
            if (header.has('weir-migrated-from')) {
              // Only of the key, once for a change, and where the change has made a difference.
              expect([service, copies.has(`${epoch} ${spanId}`)]).toEqual([HOT, false]);
              expect(placeOf(epoch - 1, service, traceId)).not.toBe(shard);
              copies.add(`${epoch} ${spanId}`);
              copiedBy.set(epoch, (copiedBy.get(epoch) ?? 0) + 1);
              continue;
            }
            seen.set(spanId, (seen.get(spanId) ?? 0) + 1);
            const load = loads.get(epoch) ?? Array<number>(SHARDS).fill(0);
            loads.set(epoch, load);
            if (Number.parseInt(spanId, 16) <= hotSpans) load[shard]!++;
          }
        }
      }
      expect(seen.size).toBe(spans);
      expect([...seen.values()].every((count) => count === 1)).toBe(true);
      expect([...copiedBy.keys()].sort()).toEqual([spreadFrom, rig.control.state.ring!.epoch]);
      const unevenness = (load: readonly number[]) =>
        (Math.max(...load) * SHARDS) / load.reduce((sum, count) => sum + count, 0);
      expect(unevenness(loads.get(1)!)).toBeGreaterThan(1.8);
      expect(unevenness(loads.get(spreadFrom)!)).toBeLessThan(1.4);
    });
  });
}

/** Of a trace of the service alone, which has another span in the next request. */
function spanOf(service: string, n: number): Uint8Array {
  const [traceId, spanId] = [Buffer.alloc(16, service), Buffer.alloc(8)];
  traceId.writeUInt32BE(Math.floor(n / 200) * 100 + (n % 100));
  spanId.writeUInt32BE(n + 1, 4);
  return item(len(1, traceId), len(2, spanId), PADDING);
}
