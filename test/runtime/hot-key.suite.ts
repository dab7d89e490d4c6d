/** A key that gets too hot for any shard, and cools down again: what is measured, decided and done about it, from the spans on, on any Kafka. */
import { afterEach, describe, expect, it } from 'vitest';
import type { HotKeyDecision } from '../../src/control/decision.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { BY_TRACE_ID } from '../../src/kernels/split/kernel.ts';
import { HOT, type HotTraffic, type HotTrafficOptions, openHotTraffic } from '../support/hot-traffic.ts';

const maxOverMean = (loads: readonly number[]) =>
  (Math.max(...loads) * loads.length) / loads.reduce((sum, load) => sum + load, 0);

export function hotKeySuite(name: string, connect: () => Promise<KafkaPort>): void {
  describe(`a hot key on ${name}`, { timeout: 300_000 }, () => {
    let traffic: HotTraffic;
    afterEach(() => traffic?.rig.close());
    const open = async (options: HotTrafficOptions) => {
      traffic = await openHotTraffic(await connect(), options);
    };
    const ring = () => traffic.rig.control.state.ring!;

    it('that is a service is spread over all shards by trace id until it has cooled down, and every span comes out once', async () => {
      const SHARDS = 3;
      await open({
        ...{ shards: SHARDS, attribute: 'service.name' },
        others: { count: 24, besideHot: 8 },
        // Slots stay where they are: what becomes even here becomes so by the key.
        rebalance: { hotRatio: 100, holdMs: 1_000, cooldownMs: 100 },
      });
      const { override, hotHash } = traffic;
      let spreadFrom: number;
      do {
        await traffic.send(60, () => override() === BY_TRACE_ID);
        spreadFrom = ring().epoch;
        const until = traffic.spans + 3_000;
        await traffic.send(60, () => traffic.spans >= until);
        await traffic.rig.drained();
      } while (traffic.stoodStill && ring().epoch !== spreadFrom);
      expect(ring().epoch).toBe(spreadFrom);
      expect(traffic.traces(spreadFrom).hotKeys).toEqual(new Map([[hotHash, `service.name=${HOT}`]]));
      expect(ring().touched.traces).toEqual([0, 1, 2]);
      const hotSpans = traffic.spans;
      await traffic.send(0, () => override() === undefined);
      await traffic.send(0, () => traffic.spans >= hotSpans + 500);
      await traffic.rig.drained();

      const decided = await traffic.keysDecided();
      expectTurns(decided, 'spread_key', `service.name=${HOT}`);
      // By samples: more than a shard should carry.
      expect(decided[0]!.share).toBeGreaterThan(1 / SHARDS);
      expect(decided[0]!.reasons[0]!.text).toMatch(/^key service\.name=checkout is [\d.]+% of traces /);
      const ends = (await traffic.decisions()).filter(({ id }) => id === decided[0]!.id).map(({ status }) => status);
      expect(ends.slice(0, 2)).toEqual(['proposed', 'applied']);

      const loads = new Map<number, number[]>();
      const { copiedBy } = await expectEachOnce(
        ({ epoch, shard, number }) => {
          const load = loads.get(epoch) ?? Array<number>(SHARDS).fill(0);
          loads.set(epoch, load);
          if (number <= hotSpans) load[shard]!++;
        },
        [HOT],
      );
      expect([...copiedBy]).toEqual(expect.arrayContaining([spreadFrom, ring().epoch]));
      expect(maxOverMean(loads.get(1)!)).toBeGreaterThan(1.8);
      expect(maxOverMean(loads.get(spreadFrom)!)).toBeLessThan(1.4);
    });

    it('that is none has a shard for itself until it has cooled down, the others share the rest, and every span comes out once', async () => {
      const SHARDS = 4;
      // So many more beside the key than elsewhere that some of them have to go, by whatever samples say of it.
      await open({
        ...{ shards: SHARDS, attribute: 'k8s.pod.name', others: { count: 60, besideHot: 36 } },
        rebalance: { hotRatio: 1.2, holdMs: 3_000, cooldownMs: 100 },
      });
      const { override, hotHash, others } = traffic;
      let own = 0;
      let isolatedFrom = 0;
      let [evenFrom, evenSpans] = [0, 0];
      /** How many of the others each shard has by the ring in force. */
      const counts = () => {
        const of = Array<number>(SHARDS).fill(0);
        for (const value of others) of[traffic.placeOf(ring().epoch, { value, traceId: '' })]!++;
        return of;
      };
      const elsewhere = (of: readonly number[]) => of.filter((_, shard) => shard !== own);
      // What is beside it goes to the others, but for what the key may be less than samples say: that can be much of it. (Before they name
      // the key slots may move, or it may be given the shard that has the fewest others: then none need be left to move.)
      const isEven = () => counts()[own]! < 36 && maxOverMean(elsewhere(counts())) < 1.45;
      do {
        await traffic.send(45, () => typeof override() === 'number');
        own = override() as number;
        isolatedFrom = ring().epoch;
        await traffic.send(45, () => isEven() || override() !== own);
        [evenFrom, evenSpans] = [ring().epoch, traffic.spans];
        await traffic.send(45, () => traffic.spans >= evenSpans + 1_000);
        await traffic.rig.drained();
      } while (traffic.stoodStill && override() !== own);
      expect(override()).toBe(own);
      expect(traffic.traces(isolatedFrom).hotKeys).toEqual(new Map([[hotHash, `resource:k8s.pod.name=${HOT}`]]));
      const hotSpans = traffic.spans;
      await traffic.send(1, () => override() === undefined);
      const coolFrom = ring().epoch;
      const coolSpans = traffic.spans;
      await traffic.send(1, () => traffic.spans >= coolSpans + 500);
      await traffic.rig.drained();

      const decided = await traffic.keysDecided();
      expectTurns(decided, 'isolate_key', `resource:k8s.pod.name=${HOT}`);
      expect(decided.slice(-2).map(({ fromShard, toShard }) => [fromShard, toShard])).toEqual([
        [expect.any(Number), own],
        [own, traffic.traces(coolFrom).slots[Number(hotHash >> 48n)]],
      ]);
      expect(decided[0]!.share).toBeGreaterThan(1 / SHARDS);
      const ends = (await traffic.decisions()).filter(({ id }) => id === decided[0]!.id).map(({ status }) => status);
      expect(ends.slice(0, 2)).toEqual(['proposed', 'applied']);

      const even = Array<number>(SHARDS).fill(0);
      let [isolated, cooled] = [0, 0];
      await expectEachOnce(({ epoch, shard, number, value }) => {
        const isHot = value === HOT;
        const alone = traffic.traces(epoch).overrides.get(hotHash);
        if (isHot && alone !== undefined) {
          expect(shard).toBe(alone);
          isolated++;
        }
        if (isHot && epoch >= coolFrom) cooled++;
        if (number > evenSpans && number <= hotSpans && epoch >= evenFrom) even[shard]!++;
      });
      expect(isolated).toBeGreaterThan(400);
      expect(cooled).toBeGreaterThan(0);
      expect(maxOverMean(elsewhere(even))).toBeLessThan(1.6);
      expect(even[own]! / even.reduce((sum, count) => sum + count, 0)).toBeLessThan(0.45 + (0.55 * 36) / 60);
    });

    /** Done and released, once; where all stood still meanwhile it may have been in turns. */
    function expectTurns(decided: readonly HotKeyDecision[], action: HotKeyDecision['action'], key: string): void {
      const turns = traffic.stoodStill ? decided.length / 2 : 1;
      expect(decided.map((of) => [of.action, of.key])).toEqual(
        Array.from({ length: turns }, () => [
          [action, key],
          ['release_key', key],
        ]).flat(),
      );
    }

    /**
     * That each span is where its ring epoch says, and once, copies apart: of those there is one for a change, only where that has made a difference, and of
     * no others than `copied` where it is given. `seen` gets what is no copy.
     */
    async function expectEachOnce(
      seen: (span: { epoch: number; shard: number; number: number; value: string }) => void,
      copied?: readonly string[],
    ): Promise<{ copiedBy: Set<number> }> {
      const times = new Map<number, number>();
      const copies = new Set<string>();
      const copiedBy = new Set<number>();
      for await (const span of traffic.found()) {
        const { shard, epoch, isCopy, number, value } = span;
        expect(shard).toBe(traffic.placeOf(epoch, span));
        if (!isCopy) {
          times.set(number, (times.get(number) ?? 0) + 1);
          seen(span);
          continue;
        }
        if (copied) expect(copied).toContain(value);
        expect(copies.has(`${epoch} ${number}`)).toBe(false);
        expect(traffic.placeOf(epoch - 1, span)).not.toBe(shard);
        copies.add(`${epoch} ${number}`);
        copiedBy.add(epoch);
      }
      expect(times.size).toBe(traffic.spans);
      expect([...times.values()].every((count) => count === 1)).toBe(true);
      return { copiedBy };
    }
  });
}
