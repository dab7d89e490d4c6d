/**
 * Loads build/weir.wasm (assembly/) and owns its memory:
 *
 *   tables (fixed addresses, assembly/arena.ts) | input region | output arena
 *
 * Nothing outside src/kernels sees an address. Growing the memory detaches every view of it, so it happens only while no
 * output is leased out, and `u8`, `u32`, `f64` are read anew after anything that may have grown it.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const MODULE = new URL('../../build/weir.wasm', import.meta.url);
const PAGE_BYTES = 65_536;
const MiB = 1024 * 1024;

/** For a poll of 8 MB and some more; Kafka hands over a batch that crosses the limit whole, and then it grows. Pages never touched cost nothing. */
const INPUT_BYTES = 10 * MiB;
/** Holds the outputs of some two polls of 8 MB, or five of 4 MB, that wait for their transactions: with the tables below 96 MB in all. */
const OUTPUT_BYTES = 24 * MiB;

type Address = WebAssembly.Global;

/** Entry points and regions of assembly/index.ts. Every address and count is a u32. */
export interface KernelExports {
  readonly memory: WebAssembly.Memory;
  setRouting(signal: number, selector: number, selectorBytes: number, slotBits: number, shards: number): void;
  addOverride(signal: number, hash: bigint, shard: number): void;
  scan(signal: number, records: number, recordLimit: number, outputLimit: number): number;
  emit(low: number, high: number): number;
  /** Not 0: the request is well formed. */
  validate(signal: number, at: number, bytes: number): number;
  /** After a `validate` of the same bytes that said yes. */
  count(at: number, bytes: number): void;
  countedResources(): number;
  countedScopes(): number;
  countedItems(): number;
  faultAddress(): number;
  faultReasonCode(): number;
  collectSlots(): number;
  collectInstances(): number;
  reset(): void;
  compilerBytesEnd(): number;
  scannedOutputBytes(): number;
  touchedLists(): number;
  knownCount(): number;
  instanceEpoch(): number;
  servedCount(): number;
  keySampleCount(): number;
  watchedCount(): number;
  itemCount(): number;
  itemByteCount(): number;
  /** Signed, as every u32 that comes out of WASM: >>> 0 where it may lie above 2 GiB. */
  lowestEmitted(): number;
  hashBegin(seed: bigint): void;
  hashStripes(at: number, bytes: number): void;
  hashEnd(at: number, bytes: number, total: bigint): bigint;
  hashSeeded(at: number, bytes: number, seed: bigint): bigint;
  hashKeys(keys: number, offsets: number, lengths: number, count: number, seed: bigint, out: number): void;
  hashKeys16(keys: number, count: number, seed: bigint, out: number): void;
  ownersOf16(keys: number, count: number, slotBits: number, out: number): void;
  fnv1a64(hash: bigint, at: number, bytes: number): bigint;
  murmurWords(hash: number, at: number, bytes: number): number;
  murmurEnd(hash: number, at: number, bytes: number): number;
  crcUpdate(crc: number, at: number, bytes: number): number;
  ringBegin(slotBits: number): void;
  ringAdd(shard: number, points: number, slotBits: number): void;
  ringOwners(slotBits: number): number;
  ringHashes(): number;
  ringSetSlots(slotBits: number): void;
  ringLookUp(count: number, slotBits: number): number;
  scoreBegin(count: number): void;
  scoreUpdate(backend: number, load: number, responseMs: number, health: number): void;
  scoreLocate(backend: number, x: number, y: number, z: number): void;
  scoreOf(backend: number, x: number, y: number, z: number): number;
  scorePick(): number;
  scorePickNear(x: number, y: number, z: number): number;
  scorePickBatch(count: number): number;
  scorePickTwo(choices: number, x: number, y: number, z: number): number;
  scoreSeed(seed: number): void;
  beginAggregate(at: number, shards: number): void;
  clearAggregate(at: number, shards: number): void;
  addSamples(at: number, shards: number, shardColumn: number, sampleColumn: number, samples: number): void;
  addHugeSamples(at: number, shards: number, shardColumn: number, sampleColumn: number, samples: number): void;
  settleAggregate(at: number, shards: number): void;
  beginSlots(at: number, slotBits: number): void;
  addSlots(at: number, slotBits: number, slots: number, bytes: number, count: number): number;
  addToSlot(at: number, slotBits: number, slot: number, bytes: bigint): void;
  takeSlots(at: number, slotBits: number, slots: number, bytes: number, most: number): number;
  beginHitters(at: number, capacity: number, indexBits: number): void;
  addHitters(at: number, keys: number, weights: number, count: number): void;
  restoreHitters(at: number, used: number, total: bigint): void;
  readonly MAX_RECORDS: Address;
  readonly MAX_ITEMS: Address;
  readonly MAX_RESOURCES: Address;
  readonly MAX_SCOPES: Address;
  readonly MAX_SHARDS: Address;
  readonly GUARD: Address;
  readonly SLACK: Address;
  readonly RECORDS: Address;
  readonly REQUESTS: Address;
  readonly SAMPLES: Address;
  readonly SAMPLES_BYTES: Address;
  readonly RESOURCES: Address;
  readonly SCOPES: Address;
  readonly RUNS: Address;
  readonly ROWS: Address;
  readonly LISTS: Address;
  readonly TOUCHED: Address;
  readonly DIRECTORY: Address;
  readonly SHARD_AGGREGATES: Address;
  readonly INSTANCES: Address;
  readonly INSTANCE_NAMES: Address;
  readonly INSTANCE_INDEX: Address;
  readonly ACTIVE: Address;
  readonly ACTIVE_SUMS: Address;
  readonly SERVED: Address;
  readonly WATCHED: Address;
  readonly SLOT_BYTES: Address;
  readonly SLOT_BITS: Address;
  readonly SLOT_PAIRS: Address;
  readonly KEY_SAMPLES: Address;
  readonly KEY_SAMPLE_BYTES: Address;
  readonly KEY_NAMES: Address;
  readonly SLOT_TABLES: Address;
  readonly SLOT_TABLE_STRIDE: Address;
  readonly OVERRIDE_TABLES: Address;
  readonly SELECTOR_NAMES: Address;
  readonly MAX_SELECTOR_BYTES: Address;
  readonly KEY_SCRATCH: Address;
  readonly BATCH: Address;
  readonly BATCH_BYTES: Address;
  readonly SCORE: Address;
  readonly SCORE_BYTES: Address;
  readonly AGGREGATION: Address;
  readonly AGGREGATION_BYTES: Address;
  readonly HISTOGRAM_BYTES: Address;
  readonly CRC_TABLES: Address;
  readonly CRC_SCRATCH_BYTES: Address;
  readonly LOOKUP_SLOTS: Address;
  readonly RING_SLOTS: Address;
  readonly TABLES_END: Address;
}

/** A stretch of the memory: [at, at + bytes). */
export interface Region {
  readonly at: number;
  readonly bytes: number;
}

export interface HostOptions {
  /** Room for the values of a call before the memory has to grow. */
  readonly inputBytes?: number;
  /** Room for the results that are leased out. */
  readonly outputBytes?: number;
}

/** By memory, so that a view tells whose it is. A memory that has grown has another buffer; the old one's entry goes with it. */
const HOSTS = new WeakMap<ArrayBufferLike, KernelHost>();

export class KernelHost {
  readonly exports: KernelExports;
  #u8!: Buffer<ArrayBuffer>;
  #u32!: Uint32Array<ArrayBuffer>;
  #f64!: Float64Array<ArrayBuffer>;
  #input!: Region;
  #output!: Region;

  private constructor(exports: KernelExports, options: HostOptions) {
    this.exports = exports;
    if (exports.compilerBytesEnd() < exports.TABLES_END.value) {
      throw new Error(
        "memoryBase in asconfig.json is below TABLES_END in assembly/arena.ts: asc's bytes lie in the tables",
      );
    }
    this.layOut(options.inputBytes ?? INPUT_BYTES, options.outputBytes ?? OUTPUT_BYTES);
  }

  static async load(options: HostOptions = {}): Promise<KernelHost> {
    const bytes = await readFile(MODULE).catch((cause: unknown) => {
      const path = fileURLToPath(MODULE);
      throw new Error(`loading the WASM kernels: ${path} cannot be read; build it with \`npm run build\``, { cause });
    });
    const { instance } = await WebAssembly.instantiate(bytes, {
      env: {
        abort(_message: number, _file: number, line: number, column: number) {
          throw new Error(`WASM kernel aborted at ${line}:${column}`);
        },
      },
    });
    return new KernelHost(instance.exports as KernelExports, options);
  }

  /** Where the values of a call are copied to; SLACK readable bytes follow it. */
  get input(): Region {
    return this.#input;
  }

  /** What outputs are leased from. It is the last region, so that it can grow in place. */
  get output(): Region {
    return this.#output;
  }

  get u8(): Buffer<ArrayBuffer> {
    return this.#u8;
  }

  get u32(): Uint32Array<ArrayBuffer> {
    return this.#u32;
  }

  get f64(): Float64Array<ArrayBuffer> {
    return this.#f64;
  }

  get memoryBytes(): number {
    return this.#u8.length;
  }

  /** The host, if any, in whose memory a view lies. */
  static owning(view: Uint8Array): KernelHost | undefined {
    return HOSTS.get(view.buffer);
  }

  /** Whether a view lies in the kernel's own memory. */
  owns(view: Uint8Array): boolean {
    return view.buffer === this.#u8.buffer;
  }

  /** Text of an input; bytes that are not UTF-8 are replaced. */
  text(at: number, bytes: number): string {
    return bytes === 0 ? '' : this.#u8.toString('utf8', at, at + bytes);
  }

  /** Lays the regions out anew, growing the memory if need be. Only while nobody holds a view; the input's content stays if its size does. */
  layOut(inputBytes: number, outputBytes: number): void {
    const slack = this.exports.SLACK.value;
    const input = {
      at: roundUp(this.exports.compilerBytesEnd(), PAGE_BYTES),
      bytes: roundUp(inputBytes, PAGE_BYTES),
    };
    const output = { at: input.at + input.bytes + PAGE_BYTES, bytes: roundUp(outputBytes, PAGE_BYTES) };
    const end = output.at + output.bytes + slack;
    const { memory } = this.exports;
    const missing = Math.ceil((end - memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0) memory.grow(missing);
    HOSTS.set(memory.buffer, this);
    this.#u8 = Buffer.from(memory.buffer);
    this.#u32 = new Uint32Array(memory.buffer);
    this.#f64 = new Float64Array(memory.buffer);
    this.#input = input;
    this.#output = output;
  }
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}
