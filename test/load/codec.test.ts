import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { decodeLoadReport, encodeLoadReport } from '../../src/load/codec.ts';
import type { LoadReport } from '../../src/load/load-report.ts';
import { ProtobufError } from '../../src/protobuf/reader.ts';
import { report } from './reports.ts';

const proto = protobuf.loadSync(fileURLToPath(new URL('../../proto/weir/v1/load.proto', import.meta.url)));
const Message = proto.lookupType('weir.v1.LoadReport');

const count = fc.nat({ max: 2 ** 50 });
const share = fc.double({ min: 0, max: 1, noNaN: true });
const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const pairs = (max: number) => fc.array(fc.tuple(fc.nat({ max }), count), { maxLength: 8 }).map((list) => list.flat());
const anyReport: fc.Arbitrary<LoadReport> = fc.record({
  reporter: fc.record({
    id: text,
    role: fc.constantFrom('bridge', 'process', 'control', 'deliver'),
    version: text,
  }),
  fromUnixMs: count,
  toUnixMs: count,
  ringEpoch: count,
  part: fc.nat(),
  parts: fc.nat(),
  signals: fc.array(
    fc.record({
      signal: fc.constantFrom('traces', 'metrics', 'logs'),
      shards: fc.array(
        fc.record({
          shard: fc.nat({ max: 4_095 }),
          items: count,
          bytes: count,
          errors: count,
          latencySumNs: count,
          latencyMinNs: count,
          latencyMaxNs: count,
        }),
        { maxLength: 3 },
      ),
      instances: fc.array(
        fc.record({
          service: text,
          instance: text,
          items: count,
          bytes: count,
          requests: count,
          requestErrors: count,
          requestLatencySumNs: count,
          requestLatency: pairs(127),
          cpuUtilisation: fc.option(share),
          memoryUtilisation: fc.option(share),
        }),
        { maxLength: 3 },
      ),
      slots: fc.option(
        fc.record({
          fromUnixMs: count,
          toUnixMs: count,
          slotBytes: pairs(262_143),
          restSlots: fc.nat(),
          restBytes: count,
          keys: fc.array(
            fc.record({
              keyHash: fc.bigInt(0n, 2n ** 64n - 1n).map((hash) => hash.toString(16).padStart(16, '0')),
              ...{ bytes: count, errorBytes: count, name: fc.string() },
            }),
            { maxLength: 3 },
          ),
        }),
      ),
    }),
    { maxLength: 3 },
  ),
  lag: fc.array(fc.record({ topic: text, partition: fc.nat(), records: count }), { maxLength: 3 }),
  instancesLeftOut: count,
  usage: fc.option(fc.record({ cpuCores: fc.double({ min: 0, max: 1_000, noNaN: true }), rssBytes: count })),
  acceptedItems: count,
  acceptedBytes: count,
  leaving: fc.boolean(),
});

/** -0 is not told from 0 on the wire. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value));

describe('the load report codec', () => {
  it('gives back every report', () => {
    fc.assert(
      fc.property(anyReport, (one) => {
        expect(plain(decodeLoadReport(encodeLoadReport(one)))).toEqual(plain(one));
      }),
    );
  });

  it('writes what load.proto says: protobufjs reads the same and writes what we read', () => {
    fc.assert(
      fc.property(anyReport, (one) => {
        const read = Message.decode(encodeLoadReport(one));
        const seen = Message.toObject(read, { longs: Number, defaults: true, arrays: true }) as {
          signals: { signal: number }[];
        };
        expect(seen).toMatchObject({
          reporter: one.reporter,
          fromUnixMs: one.fromUnixMs,
          toUnixMs: one.toUnixMs,
          ringEpoch: one.ringEpoch,
          lag: one.lag,
        });
        expect(seen.signals.map(({ signal }) => signal)).toEqual(
          one.signals.map(({ signal }) => ['traces', 'metrics', 'logs'].indexOf(signal) + 1),
        );
        expect(plain(decodeLoadReport(Message.encode(read).finish()))).toEqual(plain(one));
      }),
      { numRuns: 50 },
    );
  });

  it('tells an unknown utilisation from one of 0', () => {
    const instance = { service: 's', instance: 'i', items: 0, bytes: 0, requests: 0, requestErrors: 0 };
    const more = { requestLatencySumNs: 0, requestLatency: [], cpuUtilisation: 0, memoryUtilisation: null };
    const signals = [{ signal: 'metrics' as const, shards: [], instances: [{ ...instance, ...more }], slots: null }];
    const back = decodeLoadReport(encodeLoadReport(report(5_000, { signals })))!;
    expect(back.signals[0]!.instances[0]).toMatchObject({ cpuUtilisation: 0, memoryUtilisation: null });
  });

  it('refuses a report that is cut off anywhere inside, and never reads beyond it', () => {
    const signals = [{ signal: 'traces' as const, shards: [], instances: [], slots: null }];
    const bytes = encodeLoadReport(report(1_000, { signals, lag: [{ topic: 't', partition: 1, records: 2 }] }));
    for (let end = 1; end < bytes.length; end++) {
      let outcome: LoadReport | null | ProtobufError;
      try {
        outcome = decodeLoadReport(bytes.subarray(0, end));
      } catch (error) {
        expect(error).toBeInstanceOf(ProtobufError);
        continue;
      }
      // Cut between two fields: a report that has less.
      expect(encodeLoadReport(outcome ?? report(1_000)).length).toBeLessThan(bytes.length);
    }
  });

  it('leaves out what a later version may add', () => {
    const bytes = Buffer.concat([encodeLoadReport(report(1_000)), Buffer.from([0xa2, 0x06, 1, 0xff, 0xa8, 0x06, 7])]);
    expect(decodeLoadReport(bytes)).toEqual(report(1_000));
    expect(decodeLoadReport(Buffer.from([0x0a, 5, 0x12, 3, 0x61, 0x62, 0x63]))).toBeNull();
  });
});
