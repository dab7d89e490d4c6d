/**
 * Host of the split kernel (assembly/scan.ts, lists.ts, aggregate.ts, emit.ts). The life of a call:
 *
 *   1. copyIn      values to the input region, in one piece where they lie in one
 *   2. scan        in WASM: statuses, shard lists, aggregates, and the most that the outputs take
 *   3. aggregates  read out as owned copies
 *   4. extent      leased from the output arena, or waited for, in order of call
 *   5. emit        in WASM: the shard lists as requests; the lease shrinks to what they took
 *
 * One call is between 1 and 5 at a time. Any number of results may be held; `release` gives their memory back.
 */
import { SIGNALS, type Signal } from '../../signals.ts';
import type { KernelHost } from '../host.ts';
import { checkRouting } from './check-routing.ts';
import { type Extent, Extents } from './extents.ts';
import {
  BY_TRACE_ID,
  CALL_BOUNDS,
  FAULT_REASONS,
  type KeySelector,
  MAX_GROUPS,
  RECORD_STATUS,
  type RecordStatus,
  type Routing,
  type ShardOutput,
  type SplitAggregates,
  type SplitInput,
  type SplitKernel,
  type SplitLimits,
  type SplitResult,
  type Validation,
} from './kernel.ts';
import { InstanceNames, readAggregates } from './wasm-aggregates.ts';
import { type CopyPlan, copyIn, copyPlan, RECORD_WORDS } from './wasm-input.ts';

export interface WasmSplitOptions {
  /** Fills released outputs with 0xDB, so that a test sees who still reads them. */
  readonly poisonReleased?: boolean;
}

const POISON = 0xdb;
/**
 * Room is grown by a quarter more than asked for, so that slowly growing polls do not grow it each time; but not by more than
 * 8 MiB, as it stays: a WASM memory cannot shrink, and a new instance would lose what the other kernels keep in this one.
 */
const withRoomToGrow = (bytes: number) => bytes + Math.min(bytes / 4, 8 * 1024 * 1024);
/** One output is below 2^31 bytes, as protobuf has it; all of them leave room for tables and input below 4 GiB. */
const MOST_BYTES = 2 ** 31 - 1;

/** Of assembly/routing.ts. */
const SPREAD = 0xfffffffe;

/** BY_ constants of assembly/routing.ts. */
const SELECTORS: Readonly<Record<KeySelector['kind'], number>> = {
  trace_id: 0,
  'service.name': 1,
  resource: 2,
  'metric.name': 3,
  'resource-attribute': 4,
  'item-attribute': 5,
};

export function createWasmSplit(host: KernelHost, options: WasmSplitOptions = {}): SplitKernel {
  return new WasmSplit(host, options);
}

interface Scanned {
  readonly taken: number;
  readonly statuses: RecordStatus[];
  readonly aggregates: SplitAggregates;
  /** At most; SLACK included. 0: there is nothing to emit. */
  readonly outputBytes: number;
}

class WasmSplit implements SplitKernel {
  readonly name = 'wasm';
  readonly #host: KernelHost;
  readonly #extents = new Extents();
  readonly #names = new InstanceNames();
  readonly #poison: boolean;
  /** What the tables in the memory hold. */
  readonly #routings = new Map<Signal, Routing>();
  /** The end of the last call's turn. */
  #turn: Promise<unknown> = Promise.resolve();
  #busyMs = 0;

  constructor(host: KernelHost, options: WasmSplitOptions) {
    this.#host = host;
    this.#poison = options.poisonReleased ?? false;
    this.#extents.cover(host.output.at, host.output.bytes);
  }

  get busySeconds(): number {
    return this.#busyMs / 1_000;
  }

  get hasRoom(): boolean {
    return this.#extents.freeBytes > this.#host.output.bytes / 2;
  }

  get memoryBytes(): number {
    return this.#host.memoryBytes;
  }

  setRouting(signal: Signal, routing: Routing): void {
    const { exports } = this.#host;
    const { slots, slotBits, shardCount, overrides, selector } = routing;
    checkRouting(routing);
    const name = Buffer.from('name' in selector ? selector.name : '');
    if (name.length > exports.MAX_SELECTOR_BYTES.value) {
      throw new RangeError(`the routing attribute's name has ${name.length} bytes, but may have 4096`);
    }
    const index = SIGNALS.indexOf(signal);
    const slotsAt = exports.SLOT_TABLES.value + index * exports.SLOT_TABLE_STRIDE.value;
    new Uint16Array(this.#host.u8.buffer, slotsAt, slots.length).set(slots);
    this.#host.u8.set(name, exports.SELECTOR_NAMES.value + index * exports.MAX_SELECTOR_BYTES.value);
    exports.setRouting(index, SELECTORS[selector.kind], name.length, slotBits, shardCount);
    for (const [hash, to] of overrides) exports.addOverride(index, hash, to === BY_TRACE_ID ? SPREAD : to);
    this.#routings.set(signal, routing);
  }

  split(signal: Signal, input: SplitInput, limits: SplitLimits, routing?: Routing): Promise<SplitResult> {
    return this.#inTurn(() => this.#split(signal, input, limits, routing));
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(call);
    // The caller gets the error; whoever is next in line only waits for the end.
    const ended = () => undefined;
    this.#turn = result.then(ended, ended);
    return result;
  }

  async #split(signal: Signal, input: SplitInput, limits: SplitLimits, routing?: Routing): Promise<SplitResult> {
    if (routing && routing !== this.#routings.get(signal)) this.setRouting(signal, routing);
    const used = this.#routings.get(signal);
    if (!used) throw new Error(`split of ${signal} before setRouting`);
    if (input.groups && input.groups.length < input.values.length) {
      throw new RangeError(`${input.values.length} values, but ${input.groups.length} groups`);
    }
    const first = input.values[0];
    if (first && first.length > CALL_BOUNDS.inputBytes) return tooLarge();
    const copied = copyPlan(this.#host, input.values);
    if (copied.bytes > this.#host.input.bytes) await this.#growInput(copied);
    try {
      const scanned = this.#busy(() => this.#scan(signal, used, input, copied, limits));
      const extent = await this.#extent(scanned.outputBytes);
      const emitted = this.#busy(() => this.#emit(used.shardCount, extent));
      return this.#result(scanned, emitted.outputs, emitted.lease);
    } catch (error) {
      this.#host.exports.reset();
      throw error;
    }
  }

  validate(signal: Signal, request: Uint8Array): Promise<Validation> {
    return this.#inTurn(() => this.#validate(signal, request));
  }

  async #validate(signal: Signal, request: Uint8Array): Promise<Validation> {
    const copied = copyPlan(this.#host, [request]);
    if (request.length > CALL_BOUNDS.inputBytes) {
      throw new RangeError(`a request of ${request.length} bytes, but a call takes ${CALL_BOUNDS.inputBytes}`);
    }
    if (copied.bytes > this.#host.input.bytes) await this.#growInput(copied);
    return this.#busy(() => {
      const { exports, input, u8 } = this.#host;
      let at = input.at;
      if (this.#host.owns(request)) at = request.byteOffset;
      else u8.set(request, at);
      const index = SIGNALS.indexOf(signal);
      if (!exports.validate(index, at, request.length)) {
        const fault = { at: (exports.faultAddress() >>> 0) - at, reason: FAULT_REASONS[exports.faultReasonCode()]! };
        return { kind: 'malformed', fault };
      }
      exports.count(at, request.length);
      const counts = {
        resources: exports.countedResources(),
        scopes: exports.countedScopes(),
        items: exports.countedItems(),
      };
      return { kind: 'valid', counts };
    });
  }

  #busy<T>(work: () => T): T {
    const start = performance.now();
    try {
      return work();
    } finally {
      this.#busyMs += performance.now() - start;
    }
  }

  #scan(signal: Signal, routing: Routing, input: SplitInput, copied: CopyPlan, limits: SplitLimits): Scanned {
    const { exports } = this.#host;
    copyIn(this.#host, input, copied);
    const most = (bytes: number) => Math.max(0, Math.min(Math.floor(bytes), MOST_BYTES));
    const taken = exports.scan(
      SIGNALS.indexOf(signal),
      copied.records,
      most(limits.maxRecordBytes),
      most(limits.maxOutputBytes),
    );
    const { u32 } = this.#host;
    const table = exports.RECORDS.value / 4;
    const statuses = new Array<RecordStatus>(taken);
    for (let record = 0; record < taken; record++) {
      statuses[record] = u32[table + record * RECORD_WORDS + 3] as RecordStatus;
    }
    sortTouched(this.#host, routing.shardCount);
    const aggregates = readAggregates(this.#host, routing, this.#names);
    const bytes = exports.scannedOutputBytes();
    return { taken, statuses, aggregates, outputBytes: bytes === 0 ? 0 : bytes + exports.SLACK.value };
  }

  /** Waits for its extent: calls behind it wait, too, so that a large one is not overtaken for ever. */
  async #extent(bytes: number): Promise<Extent | null> {
    if (bytes === 0) return null;
    const { output, input } = this.#host;
    if (bytes > output.bytes) {
      await this.#idle();
      this.#layOut(input.bytes, withRoomToGrow(bytes));
    }
    for (;;) {
      const extent = this.#extents.take(bytes);
      if (extent) return extent;
      await this.#extents.released();
    }
  }

  #emit(shardCount: number, extent: Extent | null): { outputs: ShardOutput[]; lease: Extent | null } {
    if (!extent) return { outputs: [], lease: null };
    const { exports, u8, u32 } = this.#host;
    const outputs: ShardOutput[] = [];
    try {
      const entries = exports.emit(extent.at, extent.end);
      const directory = exports.DIRECTORY.value / 4;
      for (let entry = directory + (entries - 1) * 4; entry >= directory; entry -= 4) {
        const list = u32[entry]!;
        const at = u32[entry + 1]!;
        outputs.push({
          shard: list % shardCount,
          group: Math.floor(list / shardCount),
          value: new Uint8Array(u8.buffer, at, u32[entry + 2]!),
        });
      }
    } catch (error) {
      this.#extents.release(extent);
      throw error;
    }
    return { outputs, lease: this.#extents.shrink(extent, exports.lowestEmitted() >>> 0) };
  }

  #result(scanned: Scanned, outputs: ShardOutput[], lease: Extent | null): SplitResult {
    let held = lease;
    return {
      taken: scanned.taken,
      statuses: scanned.statuses,
      aggregates: scanned.aggregates,
      outputs,
      release: () => {
        if (!held) return;
        if (this.#poison) this.#host.u8.fill(POISON, held.at, held.end);
        this.#extents.release(held);
        held = null;
      },
    };
  }

  /** Growing detaches the views of every result: it waits until none is held. */
  async #growInput(copied: CopyPlan): Promise<void> {
    if (copied.own) throw new Error("values in the kernel's own memory and others that do not fit beside them");
    await this.#idle();
    this.#layOut(withRoomToGrow(copied.bytes), this.#host.output.bytes);
  }

  async #idle(): Promise<void> {
    while (this.#extents.leased > 0) await this.#extents.released();
  }

  #layOut(inputBytes: number, outputBytes: number): void {
    this.#host.layOut(inputBytes, outputBytes);
    this.#extents.cover(this.#host.output.at, this.#host.output.bytes);
  }
}

function tooLarge(): SplitResult {
  return {
    taken: 1,
    statuses: [RECORD_STATUS.output_too_large],
    outputs: [],
    aggregates: {
      ...{ items: 0, bytes: 0, shards: [], services: [], slotBytes: new Uint32Array() },
      keySamples: { hashes: new BigUint64Array(), bytes: new Uint32Array(), names: [] },
      watched: [],
    },
    release() {},
  };
}

/** Brings the touched lists into the order of the outputs: by shard, then group. */
function sortTouched(host: KernelHost, shardCount: number): void {
  const lists = new Uint32Array(host.u8.buffer, host.exports.TOUCHED.value, host.exports.touchedLists());
  if (lists.length < 2) return;
  const keys = lists.map((list) => (list % shardCount) * MAX_GROUPS + Math.floor(list / shardCount)).sort();
  for (let i = 0; i < keys.length; i++) {
    lists[i] = (keys[i]! % MAX_GROUPS) * shardCount + Math.floor(keys[i]! / MAX_GROUPS);
  }
}
