/** Spans of resources, one of which brings as much as a test wants, through processors and a controller that do something about it; and what became of them. */

import type { ConfigInput } from '../../src/config.ts';
import { type Decision, decodeDecision, type HotKeyDecision } from '../../src/control/decision.ts';
import type { SignalRing } from '../../src/coordination/ring-epoch.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import type { Override } from '../../src/kernels/split/kernel.ts';
import { readAll } from '../coordination/cluster.ts';
import { everyRing } from './every-ring.ts';
import { hashOfTrace, shardOf } from './item-routes.ts';
import { item, len, resource, resourceX, scope, text } from './otlp-pieces.ts';
import { decodeItems } from './otlp-schema.ts';
import { openPipelineRig, type PipelineRig } from './pipeline-rig.ts';
import { recordsOf } from './shard-census.ts';

export const HOT = 'checkout';
/** Samples of a key are taken by bytes: the more there are, the less it may be wrong by, also where a busy machine brings few spans. */
const PADDING = text(5, 'x'.repeat(1_000));
const WINDOW_MS = 1_000;
/** Longer than any test takes: what a change moves has its copies, however slow the machine. */
const CARRY_MS = 600_000;

export interface HotTrafficOptions {
  readonly shards: number;
  /** Of the resource: what spans are routed by. */
  readonly attribute: string;
  /** Values of it beside HOT, `besideHot` of them in its shard at first. */
  readonly others: { readonly count: number; readonly besideHot: number };
  readonly rebalance: NonNullable<ConfigInput['control']>['rebalance'];
}

/** A span in a shard. */
export interface FoundSpan {
  readonly shard: number;
  /** That it was routed or copied by. */
  readonly epoch: number;
  readonly isCopy: boolean;
  /** Number of the span, from 1. */
  readonly number: number;
  readonly traceId: string;
  /** Of the attribute. */
  readonly value: string;
}

export interface HotTraffic {
  readonly rig: PipelineRig;
  readonly hotHash: bigint;
  readonly others: readonly string[];
  /** So far. */
  readonly spans: number;
  /** Whether Kafka, or this process, stood still for so long that a window had no load: what is measured then may free a key too early. */
  readonly stoodStill: boolean;
  /** Of HOT, in the ring in force. */
  override(): Override | undefined;
  traces(epoch: number): SignalRing;
  /** Shard that `epoch` sends a span to. */
  placeOf(epoch: number, of: Pick<FoundSpan, 'value' | 'traceId'>): number;
  /** Requests of 100 spans, `hot` of them HOT's and the others' evenly, in turns to both partitions, until `enough`. */
  send(hot: number, enough: () => boolean): Promise<void>;
  decisions(): Promise<Decision[]>;
  /** About hot keys that led to a ring epoch, in order. */
  keysDecided(): Promise<HotKeyDecision[]>;
  found(): AsyncGenerator<FoundSpan>;
}

/** With a controller and two processors. The caller closes its rig. */
export async function openHotTraffic(
  port: KafkaPort,
  { shards, attribute, others: { count, besideHot }, rebalance }: HotTrafficOptions,
): Promise<HotTraffic> {
  const key = attribute === 'service.name' ? attribute : `resource:${attribute}`;
  const rig = await openPipelineRig(port, {
    routing: { vnodes: 160, traces: { key, shards }, metrics: { shards: 1 }, logs: { shards: 1 } },
    load: { slotIntervalMs: 1_000 },
    control: {
      ...{ tickMs: 50, windowMs: WINDOW_MS, ring: { carryMs: CARRY_MS } },
      ...{ scaling: { stabilisationMs: 0 }, rebalance },
    },
  });
  const rings = everyRing(rig.control);
  const hashOf = (value: string) => rig.kernels.hash.xxh64(Buffer.from(value));
  const hotHash = hashOf(HOT);
  const others = namesAround(rig.ring.signals.traces, hashOf, { count, besideHot });
  let spans = 0;
  let longestSendMs = 0;
  let partition = 0;
  const request = (hot: number) => {
    const values = Array.from({ length: 100 }, (_, i) => (i < hot ? HOT : others[(spans + i) % others.length]!));
    return Buffer.concat(
      values.map((value) => resourceX(resource({ [attribute]: value }), scope(spanOf(value, spans++)))),
    );
  };
  const traffic: HotTraffic = {
    ...{ rig, hotHash, others },
    get spans() {
      return spans;
    },
    get stoodStill() {
      return longestSendMs > WINDOW_MS / 2;
    },
    override: () => rig.control.state.ring!.signals.traces.overrides.get(hotHash),
    traces: (epoch) => rings.get(epoch)!.signals.traces,
    placeOf(epoch, { value, traceId }) {
      return shardOf(traffic.traces(epoch), { keyHash: hashOf(value), traceHash: hashOfTrace(traceId) });
    },
    async send(hot, enough) {
      for (; !enough(); partition = 1 - partition) {
        const beganAt = performance.now();
        await rig.send('traces', [request(hot)], { partition });
        await new Promise((resolve) => setTimeout(resolve, 20));
        longestSendMs = Math.max(longestSendMs, performance.now() - beganAt);
      }
    },
    async decisions() {
      return (await readAll(rig.port, rig.names.decisions)).map((value) => decodeDecision(value)!);
    },
    async keysDecided() {
      return (await traffic.decisions()).flatMap((of) =>
        of.kind === 'hot_key' && of.status === 'proposed' ? [of] : [],
      );
    },
    async *found() {
      for (let shard = 0; shard < shards; shard++)
        for await (const { value: record, headers } of recordsOf(rig.port, rig.names.shard('traces', shard))) {
          const header = new Map(headers.map(([of, bytes]) => [of, Buffer.from(bytes).toString()]));
          const [epoch, isCopy] = [Number(header.get('weir-ring-epoch')), header.has('weir-migrated-from')];
          for (const { spanId, traceId, resource: around } of decodeItems('traces', record!)) {
            const value = JSON.parse(around).resource.attributes[0].value.stringValue as string;
            yield { shard, epoch, isCopy, number: Number.parseInt(spanId.slice(0, 8), 16), traceId, value };
          }
        }
    },
  };
  await rig.startController();
  for (let i = 0; i < 2; i++) await rig.startProcessor();
  return traffic;
}

function namesAround(
  ring: SignalRing,
  hashOf: (value: string) => bigint,
  { count, besideHot }: HotTrafficOptions['others'],
): string[] {
  const shardOf = (value: string) => ring.slots[Number(hashOf(value) >> 48n)];
  const all = Array.from({ length: 20 * count }, (_, n) => `name-${n}`);
  const [beside, elsewhere] = [true, false].map((is) => all.filter((name) => (shardOf(name) === shardOf(HOT)) === is));
  return [...beside!.slice(0, besideHot), ...elsewhere!.slice(0, count - besideHot)];
}

/** Of a trace of the resource alone, which has another span in the next request. */
function spanOf(value: string, n: number): Uint8Array {
  const [traceId, spanId] = [Buffer.alloc(16, value), Buffer.alloc(8)];
  traceId.writeUInt32BE(Math.floor(n / 200) * 100 + (n % 100));
  spanId.writeUInt32BE(n + 1);
  return item(len(1, traceId), len(2, spanId), PADDING);
}
