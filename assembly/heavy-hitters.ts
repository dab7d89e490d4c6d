/**
 * Space-saving (Metwally, Agrawal, El Abbadi: "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005)
 * with weights: at most k keys have counters; a key without one takes over the least counter and its weight as its error. In the
 * AGGREGATION region:
 *
 *   header, 64 B | k counters, 32 B | heap of k entries, 16 B | index of 2^indexBits x u32
 *
 * The heap is late: an entry holds what its counter was when the entry was last looked at, and counters only grow. So a hit is a
 * look-up and an addition, and only who wants the least counter brings the root up to date until it stays the root.
 */
const USED: usize = 0;
const CAPACITY: usize = 4;
const INDEX_BITS: usize = 8;
/** Whether the heap stands: it is built when a counter is first to be taken over. */
const HEAPED: usize = 12;
/** u64: sum of all weights. */
const TOTAL: usize = 16;
const HEADER_BYTES: usize = 64;

const COUNTER_KEY: usize = 0;
const COUNTER_WEIGHT: usize = 8;
const COUNTER_ERROR: usize = 16;

/** An entry: weight u64 as it was, counter u32. */
const ENTRY_COUNTER: usize = 8;

// Of the heavy hitters at hand, see open().
let header: usize = 0;
let counters: usize = 0;
let heap: usize = 0;
let index: usize = 0;
let capacity: u32 = 0;
let mask: u32 = 0;
let homeShift: u64 = 0;

function open(at: usize): void {
  header = at;
  capacity = load<u32>(at, CAPACITY);
  const bits = load<u32>(at, INDEX_BITS);
  counters = at + HEADER_BYTES;
  heap = counters + ((<usize>capacity) << 5);
  index = heap + ((<usize>capacity) << 4);
  mask = (1 << bits) - 1;
  homeShift = 64 - <u64>bits;
}

/** 2^indexBits is at least twice the capacity, so that a free place ends every search. */
export function beginHitters(at: usize, k: u32, indexBits: u32): void {
  memory.fill(at, 0, HEADER_BYTES);
  store<u32>(at, k, CAPACITY);
  store<u32>(at, indexBits, INDEX_BITS);
  open(at);
  memory.fill(index, 0, (<usize>4) << indexBits);
}

/** Multiplied, as keys need not be hashes all over: those that differ in high bits only would all be neighbours. */
function homeOf(key: u64): u32 {
  return <u32>((key * 0x9e3779b97f4a7c15) >> homeShift);
}

function placeAt(place: u32): usize {
  return index + ((<usize>place) << 2);
}

/** Counter behind an index entry, which is its number + 1. */
function counterOf(entry: u32): usize {
  return counters + ((<usize>(entry - 1)) << 5);
}

/** The place of a key in the index, or the free place where it would be. */
function placeOf(key: u64): u32 {
  let place = homeOf(key);
  while (true) {
    const entry = load<u32>(placeAt(place));
    if (entry == 0 || load<u64>(counterOf(entry), COUNTER_KEY) == key) return place;
    place = (place + 1) & mask;
  }
}

/** Frees a place and moves up who is only beyond it because it was taken. */
function freePlace(hole: u32): void {
  let place = hole;
  while (true) {
    place = (place + 1) & mask;
    const entry = load<u32>(placeAt(place));
    if (entry == 0) break;
    const home = homeOf(load<u64>(counterOf(entry), COUNTER_KEY));
    if (((place - home) & mask) < ((place - hole) & mask)) continue;
    store<u32>(placeAt(hole), entry);
    hole = place;
  }
  store<u32>(placeAt(hole), 0);
}

function keyOf(entry: usize): u64 {
  return load<u64>(counters + ((<usize>load<u32>(entry, ENTRY_COUNTER)) << 5), COUNTER_KEY);
}

/** By weight, then key: an order without ties, so that both twins give up the same counter. */
function isBefore(weight: u64, key: u64, otherWeight: u64, otherKey: u64): bool {
  return weight < otherWeight || (weight == otherWeight && key < otherKey);
}

/** Puts an entry at or below a place of the heap that is free. */
function siftDown(place: u32, weight: u64, counter: u32): void {
  const key = load<u64>(counters + ((<usize>counter) << 5), COUNTER_KEY);
  while (true) {
    let child: u32 = 2 * place + 1;
    if (child >= capacity) break;
    let childAt = heap + ((<usize>child) << 4);
    if (
      child + 1 < capacity &&
      isBefore(load<u64>(childAt, 16), keyOf(childAt + 16), load<u64>(childAt), keyOf(childAt))
    ) {
      child++;
      childAt += 16;
    }
    if (!isBefore(load<u64>(childAt), keyOf(childAt), weight, key)) break;
    v128.store(heap + ((<usize>place) << 4), v128.load(childAt));
    place = child;
  }
  const at = heap + ((<usize>place) << 4);
  store<u64>(at, weight);
  store<u32>(at, counter, ENTRY_COUNTER);
}

function buildHeap(): void {
  for (let counter: u32 = 0; counter < capacity; counter++) {
    const at = heap + ((<usize>counter) << 4);
    store<u64>(at, load<u64>(counters + ((<usize>counter) << 5), COUNTER_WEIGHT));
    store<u32>(at, counter, ENTRY_COUNTER);
  }
  for (let place = capacity >> 1; place-- > 0; ) {
    const at = heap + ((<usize>place) << 4);
    siftDown(place, load<u64>(at), load<u32>(at, ENTRY_COUNTER));
  }
  store<u32>(header, 1, HEAPED);
}

/** Gives the least counter to a new key. */
function takeOver(key: u64, weight: u64): void {
  if (load<u32>(header, HEAPED) == 0) buildHeap();
  let victim: u32 = 0;
  let counter: usize = 0;
  let least: u64 = 0;
  while (true) {
    victim = load<u32>(heap, ENTRY_COUNTER);
    counter = counters + ((<usize>victim) << 5);
    least = load<u64>(counter, COUNTER_WEIGHT);
    if (load<u64>(heap) == least) break;
    siftDown(0, least, victim);
  }
  freePlace(placeOf(load<u64>(counter, COUNTER_KEY)));
  store<u64>(counter, key, COUNTER_KEY);
  store<u64>(counter, least + weight, COUNTER_WEIGHT);
  store<u64>(counter, least, COUNTER_ERROR);
  store<u32>(placeAt(placeOf(key)), victim + 1);
  siftDown(0, least + weight, victim);
}

/** Adds weights[i], u32, to keys[i], u64. A weight of 0 changes nothing. */
export function addHitters(at: usize, keys: usize, weights: usize, count: u32): void {
  open(at);
  let used = load<u32>(at, USED);
  let total = load<u64>(at, TOTAL);
  for (const end = keys + ((<usize>count) << 3); keys < end; keys += 8, weights += 4) {
    const key = load<u64>(keys);
    const weight = <u64>load<u32>(weights);
    if (weight == 0) continue;
    total += weight;
    const place = placeOf(key);
    const entry = load<u32>(placeAt(place));
    if (entry != 0) {
      const counter = counterOf(entry);
      store<u64>(counter, load<u64>(counter, COUNTER_WEIGHT) + weight, COUNTER_WEIGHT);
    } else if (used < capacity) {
      used++;
      store<u32>(placeAt(place), used);
      const counter = counterOf(used);
      store<u64>(counter, key, COUNTER_KEY);
      store<u64>(counter, weight, COUNTER_WEIGHT);
      store<u64>(counter, 0, COUNTER_ERROR);
    } else {
      takeOver(key, weight);
    }
  }
  store<u32>(at, used, USED);
  store<u64>(at, total, TOTAL);
}

/** Makes the index of counters that the host has written. */
export function restoreHitters(at: usize, used: u32, total: u64): void {
  beginHitters(at, load<u32>(at, CAPACITY), load<u32>(at, INDEX_BITS));
  store<u32>(at, used, USED);
  store<u64>(at, total, TOTAL);
  for (let entry: u32 = 1; entry <= used; entry++) {
    store<u32>(placeAt(placeOf(load<u64>(counterOf(entry), COUNTER_KEY))), entry);
  }
}
