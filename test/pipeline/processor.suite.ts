/** What the pipeline does with good and bad records, on any Kafka. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { createCorpus } from '../../src/loadgen/corpus.ts';
import { SIGNALS } from '../../src/signals.ts';
import { asMultiset, decodeItems } from '../support/otlp-schema.ts';
import { loadReportsOf, openPipelineRig, type PipelineRig } from '../support/pipeline-rig.ts';
import { endOf, recordsOf, takeCensus, valuesOf } from '../support/shard-census.ts';

const MiB = 1024 * 1024;
const text = new TextDecoder();
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

export function processorSuite(name: string, connect: () => Promise<KafkaPort>): void {
  describe(`the pipeline on ${name}`, () => {
    let rig: PipelineRig;
    afterEach(() => rig?.close());

    const shardValues = async (signal: (typeof SIGNALS)[number]) => {
      const values: Uint8Array[] = [];
      for (const shard of rig.ring.signals[signal].shards) {
        for await (const value of valuesOf(rig.port, shard.topic)) if (value) values.push(Uint8Array.from(value));
      }
      return values;
    };

    const deadLetters = async () => {
      const reader = rig.port.reader({ topic: rig.names.deadLetter, partition: 0 });
      const end = await endOf(rig.port, rig.names.deadLetter);
      await reader.seek('earliest');
      const letters: Array<{ reason: string; source: string; cutFrom: string | null; value: string | null }> = [];
      while (reader.position < end) {
        const outcome = await reader.poll(1_000);
        if (outcome.kind !== 'poll') continue;
        const { poll } = outcome;
        for (let i = 0; i < poll.count; i++) {
          const headers = new Map(poll.headers(i).map(([key, value]) => [key, text.decode(value)]));
          const value = poll.value(i);
          letters.push({
            reason: headers.get('weir-reason') ?? '',
            source: headers.get('weir-source') ?? '',
            cutFrom: headers.get('weir-cut-from') ?? null,
            value: value && Buffer.from(value).toString('hex'),
          });
        }
        poll.release();
      }
      await reader.close();
      return letters;
    };

    describe('with default topics', () => {
      beforeEach(async () => {
        rig = await openPipelineRig(await connect());
      });

      it('brings every item of all three signals to its shard, once', async () => {
        const sent = new Map<string, string[]>();
        for (const signal of SIGNALS) {
          const requests = createCorpus({ seed: 3, signal, itemsPerRequest: 40 }).requests(20);
          await rig.send(signal, requests.slice(0, 10), { partition: 0 });
          await rig.send(signal, requests.slice(10), { partition: 1 });
          sent.set(signal, asMultiset(requests.flatMap((request) => decodeItems(signal, request))));
        }
        await rig.startProcessor();
        await rig.drained();
        for (const signal of SIGNALS) {
          const out = (await shardValues(signal)).flatMap((value) => decodeItems(signal, value));
          expect(asMultiset(out)).toEqual(sent.get(signal));
        }
        const traces = await takeCensus(rig.port, rig.names, 'traces', 16);
        expect([...traces.traces.values()].filter((shards) => shards.size > 1)).toEqual([]);
      });

      it('takes around a poison record everything else, and says of it why and where from', async () => {
        const [before, after, cut] = createCorpus({ seed: 5, signal: 'traces', itemsPerRequest: 30 }).requests(3) as [
          Uint8Array,
          Uint8Array,
          Uint8Array,
        ];
        const noise = Uint8Array.from({ length: 300 }, (_, i) => (i * 151 + 7) & 0xff);
        const truncated = cut.slice(0, cut.length - 5);
        await rig.send('traces', [before, noise, truncated, null, new Uint8Array(0), after]);
        await rig.startProcessor();
        await rig.drained();
        expect(await deadLetters()).toEqual([
          { reason: 'malformed', source: `${rig.names.ingest('traces')}/0/1`, cutFrom: null, value: hex(noise) },
          { reason: 'malformed', source: `${rig.names.ingest('traces')}/0/2`, cutFrom: null, value: hex(truncated) },
          { reason: 'null_value', source: `${rig.names.ingest('traces')}/0/3`, cutFrom: null, value: null },
        ]);
        const out = (await shardValues('traces')).flatMap((value) => decodeItems('traces', value));
        expect(asMultiset(out)).toEqual(asMultiset([before, after].flatMap((value) => decodeItems('traces', value))));
        expect((await rig.metrics.recordsIn.get()).values).toEqual([{ labels: { signal: 'traces' }, value: 6 }]);
      });

      it('takes what lies around a record whose kept header leaves no room for anything else', async () => {
        const [before, after] = createCorpus({ seed: 7, signal: 'traces', itemsPerRequest: 30 }).requests(2) as [
          Uint8Array,
          Uint8Array,
        ];
        const large = createCorpus({ seed: 8, signal: 'traces', itemsPerRequest: 1 }).next();
        expect(large.length).toBeLessThan(1_500);
        const room = rig.config.topics.maxMessageBytes - large.length - 200;
        await rig.send('traces', [before]);
        await rig.send('traces', [large], { headers: [['tenant', new Uint8Array(room).fill(0x61)]] });
        await rig.send('traces', [after]);
        await rig.startProcessor();
        await rig.drained();
        const [letter, ...others] = await deadLetters();
        expect(others).toEqual([]);
        expect([letter?.reason, letter?.source]).toEqual(['item_too_large', `${rig.names.ingest('traces')}/0/1`]);
        const out = (await shardValues('traces')).flatMap((value) => decodeItems('traces', value));
        expect(asMultiset(out)).toEqual(asMultiset([before, after].flatMap((value) => decodeItems('traces', value))));
      });

      it('never mixes records whose kept header differs', async () => {
        const requests = createCorpus({ seed: 9, signal: 'traces', itemsPerRequest: 50 }).requests(2);
        const encoder = new TextEncoder();
        for (const [i, tenant] of ['a', 'b'].entries()) {
          await rig.send('traces', [requests[i]!], { headers: [['tenant', encoder.encode(tenant)]] });
        }
        await rig.startProcessor();
        await rig.drained();
        const spans = new Map<string, string[]>([
          ['a', []],
          ['b', []],
        ]);
        for (const shard of rig.ring.signals.traces.shards) {
          for await (const { headers, value } of recordsOf(rig.port, shard.topic)) {
            const tenant = headers.find(([key]) => key === 'tenant')?.[1];
            spans.get(text.decode(tenant))!.push(...decodeItems('traces', value!).map((item) => item.spanId));
          }
        }
        for (const [i, tenant] of ['a', 'b'].entries()) {
          expect(spans.get(tenant)!.sort()).toEqual(
            decodeItems('traces', requests[i]!)
              .map((item) => item.spanId)
              .sort(),
          );
        }
      });

      it('reports what it measured, once for each committed poll', async () => {
        await rig.send('traces', createCorpus({ seed: 2, signal: 'traces', itemsPerRequest: 50 }).requests(20));
        const processor = await rig.startProcessor();
        await rig.drained();
        await processor.close();
        const shards = (await loadReportsOf(rig)).flatMap(
          (report) => report?.signals.flatMap((load) => load.shards) ?? [],
        );
        expect(shards.reduce((sum, shard) => sum + shard.items, 0)).toBe(1_000);
      });
    });

    it('hands partitions over between two processors without losing or doubling', async () => {
      rig = await openPipelineRig(await connect(), { poll: { maxRecords: 4 } });
      const corpus = createCorpus({ seed: 4, signal: 'traces', itemsPerRequest: 20 });
      await rig.send('traces', corpus.requests(100), { partition: 0 });
      const first = await rig.startProcessor();
      await rig.send('traces', corpus.requests(100), { partition: 1 });
      const second = await rig.startProcessor();
      await rig.send('traces', corpus.requests(50), { partition: 0 });
      await first.close();
      await rig.send('traces', corpus.requests(50), { partition: 1 });
      await rig.drained();
      await second.close();
      const { spans, items } = await takeCensus(rig.port, rig.names, 'traces', 16);
      expect(items).toBe(300 * 20);
      expect(spans.size).toBe(300 * 20);
    });

    it('splits a valid request of 20 MB and brings it out whole', async () => {
      rig = await openPipelineRig(await connect(), { topics: { maxMessageBytes: 32 * MiB } });
      const [request] = createCorpus({ seed: 6, signal: 'traces', itemsPerRequest: 50_000 }).requests(1) as [
        Uint8Array,
      ];
      expect(request.length).toBeGreaterThan(20e6);
      await rig.send('traces', [request]);
      await rig.startProcessor();
      await rig.drained();
      const { spans, items } = await takeCensus(rig.port, rig.names, 'traces', 16);
      expect(items).toBe(50_000);
      expect(spans.size).toBe(50_000);
      expect(await deadLetters()).toEqual([]);
    });

    it('buries a record with an item, or a resource, that alone outgrows a shard record, and takes the rest', async () => {
      rig = await openPipelineRig(await connect(), { topics: { maxMessageBytes: MiB } });
      const good = createCorpus({ seed: 8, signal: 'traces', itemsPerRequest: 10 }).next();
      // {1: ResourceSpans{1: Resource{}, 2: ScopeSpans{2: Span{4: name}}}}, with the one or the other blown up.
      const field = (number: number, body: Uint8Array) => Buffer.concat([tagAndLength(number, body.length), body]);
      const padding = field(5, new Uint8Array(MiB - 1_000));
      const largeItem = field(1, field(2, field(2, padding)));
      const largeResource = field(
        1,
        Buffer.concat([field(1, padding), field(2, field(2, field(5, new Uint8Array(3))))]),
      );
      await rig.send('traces', [good, largeItem, largeResource, good]);
      await rig.startProcessor();
      await rig.drained();
      expect((await deadLetters()).map(({ reason, source }) => [reason, source.split('/').at(-1)])).toEqual([
        ['item_too_large', '1'],
        ['item_too_large', '2'],
      ]);
      expect((await takeCensus(rig.port, rig.names, 'traces', 16)).items).toBe(20);
    });
  });
}

function tagAndLength(number: number, length: number): Uint8Array {
  const bytes = [(number << 3) | 2];
  let rest = length;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
