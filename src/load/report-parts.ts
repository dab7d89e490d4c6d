/** Fills reports row by row; a row with which one would be above MAX_REPORT_BYTES opens the next. */
import type { Signal } from '../signals.ts';
import { instanceBytes, lagBytes, shardBytes, slotsBytes } from './codec.ts';
import {
  type InstanceLoad,
  type LoadReport,
  MAX_REPORT_BYTES,
  type PartitionLag,
  type ShardLoad,
  type SlotLoad,
} from './load-report.ts';

/** Room for tag and length around a row, the report's own fields and the signal's. */
const ROW_OVERHEAD_BYTES = 8;
const REPORT_OVERHEAD_BYTES = 1_024;

interface OpenPart {
  bytes: number;
  readonly signals: Map<Signal, { shards: ShardLoad[]; instances: InstanceLoad[]; slots: SlotLoad | null }>;
  readonly lag: PartitionLag[];
}

export class ReportParts {
  readonly #parts: OpenPart[] = [{ bytes: REPORT_OVERHEAD_BYTES, signals: new Map(), lag: [] }];

  addShard(signal: Signal, shard: ShardLoad): void {
    this.#signal(signal, shardBytes(shard)).shards.push(shard);
  }

  addInstance(signal: Signal, instance: InstanceLoad): void {
    this.#signal(signal, instanceBytes(instance)).instances.push(instance);
  }

  addSlots(signal: Signal, slots: SlotLoad): void {
    this.#signal(signal, slotsBytes(slots)).slots = slots;
  }

  addLag(lag: PartitionLag): void {
    this.#room(lagBytes(lag)).lag.push(lag);
  }

  reports(head: Omit<LoadReport, 'part' | 'parts' | 'signals' | 'lag'>): LoadReport[] {
    return this.#parts.map((part, index) => ({
      ...head,
      // Told once, not once a part.
      instancesLeftOut: index === 0 ? head.instancesLeftOut : 0,
      acceptedItems: index === 0 ? head.acceptedItems : 0,
      acceptedBytes: index === 0 ? head.acceptedBytes : 0,
      part: index,
      parts: this.#parts.length,
      signals: [...part.signals].map(([signal, rows]) => ({ signal, ...rows })),
      lag: part.lag,
    }));
  }

  #signal(signal: Signal, bytes: number) {
    const part = this.#room(bytes);
    const rows = part.signals.get(signal) ?? { shards: [], instances: [], slots: null };
    part.signals.set(signal, rows);
    return rows;
  }

  #room(bytes: number): OpenPart {
    const needed = bytes + ROW_OVERHEAD_BYTES;
    const last = this.#parts.at(-1)!;
    if (last.bytes + needed <= MAX_REPORT_BYTES) {
      last.bytes += needed;
      return last;
    }
    const next: OpenPart = { bytes: REPORT_OVERHEAD_BYTES + needed, signals: new Map(), lag: [] };
    this.#parts.push(next);
    return next;
  }
}
