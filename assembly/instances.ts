/**
 * Service instances, told apart by service.name and service.instance.id. They stay known from call to call, so that the host
 * reads their names once; when they have become too many, all are forgotten.
 */
import {
  ACTIVE,
  ACTIVE_SUMS,
  INSTANCE_CALL,
  INSTANCE_HASH,
  INSTANCE_INDEX,
  INSTANCE_INDEX_SLOTS,
  INSTANCE_NAME_AT,
  INSTANCE_NAME_BYTES,
  INSTANCE_NAMES,
  INSTANCE_NAMES_BYTES,
  INSTANCE_PLACE,
  INSTANCE_SERVICE_AT,
  INSTANCE_SERVICE_BYTES,
  INSTANCES,
  MAX_INSTANCES,
  NO_ROOM,
  RESOURCE_INSTANCE_AT,
  RESOURCE_INSTANCE_BYTES,
  RESOURCE_SERVICE_AT,
  RESOURCE_SERVICE_BYTES,
  RESOURCES,
} from './arena';
import { hashBytes } from './hash';
import { clearSums } from './sums';

/** Instances of the call. */
let instances: u32 = 0;
/** Rows of INSTANCES, those of earlier calls included. */
export let known: u32 = 0;
/** Changes when the known instances are forgotten. */
export let knownEpoch: u32 = 0;

let call: u32 = 0;
let namesBytes: usize = 0;
/** Names of a known instance lie in the input of the call. */
let borrowed = false;

export function beginInstances(): void {
  if (known > MAX_INSTANCES || namesBytes > INSTANCE_NAMES_BYTES / 2 || borrowed) {
    memory.fill(INSTANCE_INDEX, 0, (<usize>INSTANCE_INDEX_SLOTS) << 2);
    known = 0;
    namesBytes = 0;
    borrowed = false;
    knownEpoch++;
  }
  call++;
  instances = 0;
}

/** The instance of a row of RESOURCES, as an index of INSTANCES; NO_ROOM when the call has too many. */
export function instanceOf(resource: usize): u32 {
  const serviceAt = <usize>load<u32>(resource, RESOURCE_SERVICE_AT);
  const serviceBytes = load<u32>(resource, RESOURCE_SERVICE_BYTES);
  const nameAt = <usize>load<u32>(resource, RESOURCE_INSTANCE_AT);
  const nameBytes = load<u32>(resource, RESOURCE_INSTANCE_BYTES);
  const hash = hashBytes(serviceAt, serviceBytes) + rotl<u64>(hashBytes(nameAt, nameBytes), 1);
  let i = <u32>(hash >> 32) & (INSTANCE_INDEX_SLOTS - 1);
  let row: usize = 0;
  while (true) {
    const entry = load<u32>(INSTANCE_INDEX + ((<usize>i) << 2));
    if (entry == 0) {
      if (instances == MAX_INSTANCES) return NO_ROOM;
      row = INSTANCES + ((<usize>known) << 7);
      store<u64>(row, hash, INSTANCE_HASH);
      store<u32>(row, call - 1, INSTANCE_CALL);
      keepNames(row, serviceAt, serviceBytes, nameAt, nameBytes);
      known++;
      store<u32>(INSTANCE_INDEX + ((<usize>i) << 2), known);
      break;
    }
    row = INSTANCES + ((<usize>(entry - 1)) << 7);
    if (
      load<u64>(row, INSTANCE_HASH) == hash &&
      load<u32>(row, INSTANCE_SERVICE_BYTES) == serviceBytes &&
      load<u32>(row, INSTANCE_NAME_BYTES) == nameBytes &&
      isSame(<usize>load<u32>(row, INSTANCE_SERVICE_AT), serviceAt, serviceBytes) &&
      isSame(<usize>load<u32>(row, INSTANCE_NAME_AT), nameAt, nameBytes)
    ) {
      break;
    }
    i = (i + 1) & (INSTANCE_INDEX_SLOTS - 1);
  }
  const index = <u32>((row - INSTANCES) >> 7);
  if (load<u32>(row, INSTANCE_CALL) == call) return index;
  if (instances == MAX_INSTANCES) return NO_ROOM;
  store<u32>(row, call, INSTANCE_CALL);
  store<u32>(row, instances, INSTANCE_PLACE);
  clearSums(row);
  store<u32>(ACTIVE + ((<usize>instances) << 2), index);
  instances++;
  return index;
}

/** Copies the names of an instance where they stay. Those that find no room stay in the input, and are known for this call only. */
function keepNames(row: usize, serviceAt: usize, serviceBytes: u32, nameAt: usize, nameBytes: u32): void {
  const bytes = <u64>serviceBytes + <u64>nameBytes;
  if (bytes <= <u64>(INSTANCE_NAMES_BYTES - namesBytes)) {
    const at = INSTANCE_NAMES + namesBytes;
    memory.copy(at, serviceAt, serviceBytes);
    memory.copy(at + <usize>serviceBytes, nameAt, nameBytes);
    serviceAt = at;
    nameAt = at + <usize>serviceBytes;
    namesBytes += <usize>bytes;
  } else borrowed = true;
  store<u32>(row, <u32>serviceAt, INSTANCE_SERVICE_AT);
  store<u32>(row, serviceBytes, INSTANCE_SERVICE_BYTES);
  store<u32>(row, <u32>nameAt, INSTANCE_NAME_AT);
  store<u32>(row, nameBytes, INSTANCE_NAME_BYTES);
}

/** Eight bytes at a time: memory.compare takes them one by one. */
function isSame(a: usize, b: usize, bytes: u32): bool {
  let left = bytes;
  for (; left >= 8; left -= 8) {
    if (load<u64>(a) != load<u64>(b)) return false;
    a += 8;
    b += 8;
  }
  // Of the next eight only what is left counts; the regions have slack behind them.
  return left == 0 || (load<u64>(a) ^ load<u64>(b)) << (64 - ((<u64>left) << 3)) == 0;
}

/** Writes what the host reads of the call's instances to ACTIVE_SUMS, and gives their count. */
export function collectInstances(): u32 {
  let to = ACTIVE_SUMS;
  for (let place: u32 = 0; place < instances; place++, to += 80) {
    const index = load<u32>(ACTIVE + ((<usize>place) << 2));
    const row = INSTANCES + ((<usize>index) << 7);
    for (let column: usize = 0; column < 80; column += 16) v128.store(to + column, v128.load(row + column));
    store<f64>(to, index, INSTANCE_HASH);
  }
  return instances;
}
