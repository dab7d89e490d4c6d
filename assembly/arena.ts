/**
 * Who owns which bytes of the memory. Tables have fixed addresses below TABLES_END (asconfig.json's `memoryBase` keeps the
 * compiler's own bytes above it); behind them the host lays out the input region and the output arena, see src/kernels/host.ts.
 * Untouched pages cost no RSS, so tables are sized for the largest call (CALL_BOUNDS in src/kernels/split/kernel.ts).
 *
 * Between two regions lie GUARD bytes that nobody writes: tests fill them and look whether they stay.
 */
export const GUARD: usize = 64;
/** "None" in every u32 column. */
export const NIL: u32 = 0xffffffff;
/** Readable, and for an output writable, bytes that a region needs beyond its content: checks look up to 270 ahead, copies overshoot by up to 63. */
export const SLACK: usize = 320;

export const MAX_RECORDS: u32 = 65_536;
export const MAX_ITEMS: u32 = 262_144;
export const MAX_RESOURCES: u32 = 131_072;
export const MAX_SCOPES: u32 = 131_072;
export const MAX_SHARDS: u32 = 4_096;
export const MAX_GROUPS: u32 = 64;
export const MAX_INSTANCES: u32 = 4_096;
export const MAX_WATCHED: u32 = 1_024;
export const MAX_OVERRIDES: u32 = 1_024;
export const MAX_SLOTS: u32 = 1 << 18;
/** A run of kept fields lies before, between or after the items of a scope, the scopes of a resource, or the resources of a request. */
const MAX_RUNS: u32 = MAX_ITEMS + 2 * MAX_SCOPES + 2 * MAX_RESOURCES + MAX_RECORDS;
const LISTS_MAX: u32 = MAX_SHARDS * MAX_GROUPS;

// --- Input of a call, written by the host ---

/** Records of the call, 16 B: address u32, bytes u32 (NIL: null value), group u32, status u32 (written by scan). */
export const RECORDS: usize = 4_096;

// --- Scan: the record at hand ---

/** Items of the record at hand, 32 B: see the SAMPLE_ columns. Also the scratch memory of the hash and ring kernels between calls. */
export const SAMPLES: usize = RECORDS + ((<usize>MAX_RECORDS) << 4) + GUARD;
/** Address and bytes of the item's frame (tag, length, payload). */
export const SAMPLE_AT: usize = 0;
export const SAMPLE_BYTES: usize = 4;
/** u64: what the item is routed by, until routeSamples puts shard and slot in its place. */
export const SAMPLE_HASH: usize = 8;
export const SAMPLE_SHARD: usize = 8;
/** NIL when an override took the item. */
export const SAMPLE_SLOT: usize = 12;
export const SAMPLE_SCOPE: usize = 16;
/** Bits: 1 an error, 2 a served request, 4 a watched metric. */
export const SAMPLE_FLAGS: usize = 20;
/** u64. Traces: latency in ns. Metrics: payload bytes. */
export const SAMPLE_DETAIL: usize = 24;
export const FLAG_ERROR: u32 = 1;
export const FLAG_REQUEST: u32 = 2;
export const FLAG_WATCHED: u32 = 4;
export const SAMPLES_BYTES: usize = (<usize>MAX_ITEMS) << 5;

// --- Scan: all accepted records of the call ---

/** Resource occurrences, 32 B: see the RESOURCE_ columns. */
export const RESOURCES: usize = SAMPLES + SAMPLES_BYTES + GUARD;
/** Bytes of all fields but the scopes. */
export const RESOURCE_FIELD_BYTES: usize = 0;
/** Its runs: [from, to) in RUNS. */
export const RESOURCE_RUN_FROM: usize = 4;
export const RESOURCE_RUN_TO: usize = 8;
/** Text of service.name and service.instance.id: address and bytes in the input; 0 bytes when missing. */
export const RESOURCE_SERVICE_AT: usize = 12;
export const RESOURCE_SERVICE_BYTES: usize = 16;
export const RESOURCE_INSTANCE_AT: usize = 20;
export const RESOURCE_INSTANCE_BYTES: usize = 24;
/** Its index in INSTANCES; NIL before its first item is counted, NO_ROOM where there is none. */
export const RESOURCE_INSTANCE: usize = 28;
export const NO_ROOM: u32 = 0xfffffffe;

/** Scope occurrences, 16 B: resource u32, bytes of all fields but the items u32, runs [from, to) u32 u32. */
export const SCOPES: usize = RESOURCES + ((<usize>MAX_RESOURCES) << 5) + GUARD;
export const SCOPE_RESOURCE: usize = 0;
export const SCOPE_FIELD_BYTES: usize = 4;
export const SCOPE_RUN_FROM: usize = 8;
export const SCOPE_RUN_TO: usize = 12;

/** Runs of neighbouring fields that are kept as they are, 8 B: address u32, bytes u32. */
export const RUNS: usize = SCOPES + ((<usize>MAX_SCOPES) << 4) + GUARD;

/** Records with fields beside their resources, 16 B: resources [from, to), runs [from, to). */
export const REQUESTS: usize = RUNS + ((<usize>MAX_RUNS) << 3) + GUARD;
export const REQUEST_RESOURCE_FROM: usize = 0;
export const REQUEST_RESOURCE_TO: usize = 4;
export const REQUEST_RUN_FROM: usize = 8;
export const REQUEST_RUN_TO: usize = 12;

// --- Lists: what goes where ---

/** Rows of the shard lists, 16 B: address u32, bytes u32 (neighbouring items are one row), scope u32 | FIRST, row before it in the list + 1 u32 (0: none). */
export const ROWS: usize = REQUESTS + ((<usize>MAX_RECORDS) << 4) + GUARD;
export const ROW_AT: usize = 0;
export const ROW_BYTES: usize = 4;
export const ROW_SCOPE: usize = 8;
export const ROW_BEFORE: usize = 12;
/** Bit of ROW_SCOPE: an output record begins with this row. */
export const FIRST: u32 = 0x80000000;

/** A list a (group, shard), index group * shardCount + shard, 16 B: last row + 1 u32, scope of the last row + 1 u32, fill of the current output record in bytes u64. All 0 is the empty list, so that 4 MiB of them need no initialising. */
export const LISTS: usize = ROWS + ((<usize>MAX_ITEMS) << 4) + GUARD;
export const LIST_LAST: usize = 0;
export const LIST_SCOPE: usize = 4;
export const LIST_FILL: usize = 8;
/** Indices of the lists that hold rows, u32, in order of first touch; the host sorts them before emission. */
export const TOUCHED: usize = LISTS + ((<usize>LISTS_MAX) << 4) + GUARD;

// --- Output of a call, read by the host ---

/** Output records in reverse order, 16 B: list u32, address u32, bytes u32, unused u32. Where the samples were: a call is scanned before it is emitted, and the host reads this at once. */
export const DIRECTORY: usize = SAMPLES;

/** Aggregates, f64 columns: items, bytes, errors, latency sum, min, max; of instances also requests, request errors, request latency sum. */
export const AGGREGATE_ITEMS: usize = 0;
export const AGGREGATE_BYTES: usize = 8;
export const AGGREGATE_ERRORS: usize = 16;
export const AGGREGATE_LATENCY_SUM: usize = 24;
export const AGGREGATE_LATENCY_MIN: usize = 32;
export const AGGREGATE_LATENCY_MAX: usize = 40;
export const AGGREGATE_REQUESTS: usize = 48;
export const AGGREGATE_REQUEST_ERRORS: usize = 56;
export const AGGREGATE_REQUEST_LATENCY_SUM: usize = 64;
/** One a shard, 64 B. */
export const SHARD_AGGREGATES: usize = TOUCHED + ((<usize>LISTS_MAX) << 2) + GUARD;
/** One an instance that is known, from this call or an earlier one, 128 B: the aggregate, then the INSTANCE_ columns. */
export const INSTANCES: usize = SHARD_AGGREGATES + ((<usize>MAX_SHARDS) << 6) + GUARD;
export const INSTANCE_HASH: usize = 72;
/** The texts as in RESOURCES, but in INSTANCE_NAMES, as the input does not stay. */
export const INSTANCE_SERVICE_AT: usize = 80;
export const INSTANCE_SERVICE_BYTES: usize = 84;
export const INSTANCE_NAME_AT: usize = 88;
export const INSTANCE_NAME_BYTES: usize = 92;
/** The last call that had items of it, and its place in ACTIVE in that call. */
export const INSTANCE_CALL: usize = 96;
export const INSTANCE_PLACE: usize = 100;
/** A call begins with at most MAX_INSTANCES known ones, and adds at most as many. */
export const MAX_KNOWN: u32 = 2 * MAX_INSTANCES;
export const INSTANCE_NAMES_BYTES: usize = 1 << 20;
/** The row behind the known ones takes what is counted of those that find no room; nobody reads it. */
export const SPARE_INSTANCE: u32 = MAX_KNOWN;
export const INSTANCE_NAMES: usize = INSTANCES + ((<usize>(SPARE_INSTANCE + 1)) << 7) + GUARD;
/** Open addressing over INSTANCES: index + 1, 0 is free; u32. */
export const INSTANCE_INDEX_SLOTS: u32 = 2 * MAX_KNOWN;
export const INSTANCE_INDEX: usize = INSTANCE_NAMES + INSTANCE_NAMES_BYTES + GUARD;
/** The instances of the call, as indices of INSTANCES, u32, in order of their first item. */
export const ACTIVE: usize = INSTANCE_INDEX + ((<usize>INSTANCE_INDEX_SLOTS) << 2) + GUARD;
/** Served requests, u32: place of the instance in ACTIVE << 7 | bucket of the latency. */
export const SERVED: usize = ACTIVE + ((<usize>MAX_INSTANCES) << 2) + GUARD;
/** What the host reads at once of the call's instances, where the samples were, 80 B: the aggregate, and the index as f64. */
export const ACTIVE_SUMS: usize = SAMPLES;
/** Watched metrics, 12 B: resource u32, address and bytes of the Metric message u32 u32. */
export const WATCHED: usize = SERVED + ((<usize>MAX_ITEMS) << 2) + GUARD;
/** Item bytes a slot, u32; one bit a slot that has any; and the pairs (slot, bytes) that the host reads at once, u32 u32, where the samples were. */
export const SLOT_BYTES: usize = WATCHED + <usize>MAX_WATCHED * 12 + GUARD;
export const SLOT_BITS: usize = SLOT_BYTES + ((<usize>MAX_SLOTS) << 2) + GUARD;
export const SLOT_PAIRS: usize = SAMPLES;

// --- Routing, one of each a signal, written by the host ---

/** Owner of each slot: u16, or a byte where there are few shards. */
export const SLOT_TABLES: usize = SLOT_BITS + (<usize>MAX_SLOTS >> 3) + GUARD;
export const SLOT_TABLE_STRIDE: usize = (<usize>MAX_SLOTS) << 1;
/** Overrides, open addressing, 16 B: hash u64, shard u32 (NIL: free), unused u32. */
export const OVERRIDE_SLOTS: u32 = 2 * MAX_OVERRIDES;
export const OVERRIDE_TABLES: usize = SLOT_TABLES + 3 * SLOT_TABLE_STRIDE + GUARD;
export const OVERRIDE_TABLE_STRIDE: usize = (<usize>OVERRIDE_SLOTS) << 4;
/** Names of the attributes that select, UTF-8. */
export const MAX_SELECTOR_BYTES: u32 = 4_096;
export const SELECTOR_NAMES: usize = OVERRIDE_TABLES + 3 * OVERRIDE_TABLE_STRIDE + GUARD;
/** Keys that are decoded: 8 B for service.name, 8 B for the selecting attribute. */
export const KEY_SCRATCH: usize = SELECTOR_NAMES + 3 * <usize>MAX_SELECTOR_BYTES + GUARD;

// --- The other kernels; each has its columns in a file of its own ---

/** Keys and results of one batched call (hash, ring look-up): written by the host, read by the kernel, and the other way round. */
export const BATCH_BYTES: usize = 2 << 20;
export const BATCH: usize = ((KEY_SCRATCH + 32 + 63) & ~63) + GUARD;
/** State of the score kernel: backends as a struct of arrays. Stays from call to call. */
export const SCORE_BYTES: usize = 1 << 20;
export const SCORE: usize = BATCH + BATCH_BYTES + GUARD;
/** State of the aggregate kernel: shards, histograms, heavy hitters. Stays from call to call. */
export const AGGREGATION_BYTES: usize = 14 << 20;
export const AGGREGATION: usize = SCORE + SCORE_BYTES + GUARD;
/** Tables of CRC32C, 16 x 256 x u32. */
export const CRC_TABLES_BYTES: usize = 16 << 10;
export const CRC_TABLES: usize = AGGREGATION + AGGREGATION_BYTES + GUARD;

/** Slot table of the hash kernel's `owners16`, u16 a slot: not that of a signal's routing, so that a look-up disturbs no split. */
export const LOOKUP_SLOTS: usize = CRC_TABLES + CRC_TABLES_BYTES + GUARD;

/** Slot table of the ring kernel's look-ups: u16 a slot, or a byte. */
export const RING_SLOTS: usize = LOOKUP_SLOTS + SLOT_TABLE_STRIDE + GUARD;

/** Hash that each item of the record at hand is routed by, u64: where batched calls have their columns, none of which runs meanwhile. */
export const KEY_HASHES: usize = BATCH;
/** Sampled keys of a call, read by the host: hashes u64, then the bytes that each stands for, u32. */
export const MAX_KEY_SAMPLES: u32 = 1_024;
export const KEY_SAMPLES: usize = RING_SLOTS + SLOT_TABLE_STRIDE + GUARD;
export const KEY_SAMPLE_BYTES: usize = KEY_SAMPLES + ((<usize>MAX_KEY_SAMPLES) << 3);
/** What the keys of some samples say, 144 B: source u32, kind u32, bytes of the first text u32 and of the second u32, then up to NAME_TEXT_BYTES of each. */
export const KEY_NAMES: usize = KEY_SAMPLE_BYTES + ((<usize>MAX_KEY_SAMPLES) << 2) + GUARD;
export const KEY_NAME_BYTES: usize = 144;
export const NAME_TEXT_BYTES: u32 = 64;
/** One sample of so many, the call's first included, has its key named. */
export const NAMED_EVERY: u32 = 16;
const MAX_KEY_NAMES: usize = MAX_KEY_SAMPLES / NAMED_EVERY;

export const TABLES_END: usize = KEY_NAMES + MAX_KEY_NAMES * KEY_NAME_BYTES + GUARD;
