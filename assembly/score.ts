/**
 * Backends as a struct of arrays in SCORE, and the best of them: src/kernels/score/kernel.ts has the formula.
 *
 * What does not depend on the request is worked out when a backend changes: its score without the distance, and its location
 * as a unit vector. With those a request without a location is a search for the largest number, and a distance needs no
 * sine or cosine: the squared chord between two points on the unit sphere is 4a, a being haversine's.
 *
 * And few distances are needed at all, as one adds 0.1 at most: the backend that is best without distances sets a mark, and
 * those that would not reach it from next door are passed over.
 */
import { BATCH, SCORE } from './arena';

/** As MAX_BACKENDS, MAX_CHOICES and REQUESTS in src/kernels/score/. */
const MAX_BACKENDS: u32 = 4_096;
const MAX_CHOICES: u32 = 64;
const REQUESTS: u32 = 16_384;

// Columns of SCORE, f64 a backend. Searches go by eights: up to 7 rows after the last hold no candidates.
const COLUMN: usize = (<usize>MAX_BACKENDS) << 3;
/** The score without the distance; -Infinity: no candidate. */
const BASE: usize = SCORE;
/** Unit vector; NaN: without a location. */
const X: usize = BASE + COLUMN;
const Y: usize = X + COLUMN;
const Z: usize = Y + COLUMN;
/** Offsets in a column of the backends whose distance is needed, u32, ascending. */
const CLOSE: usize = Z + COLUMN;
/** Indices of the candidates, u32, ascending; and the places in that list that were drawn. Behind CLOSE there is room for 8 more. */
const CANDIDATES: usize = CLOSE + ((<usize>MAX_BACKENDS + 8) << 2);
const DRAWN: usize = CANDIDATES + ((<usize>MAX_BACKENDS) << 2);

// Columns of a batch in BATCH: unit vectors f64, then the winners, i32.
const REQUEST_COLUMN: usize = (<usize>REQUESTS) << 3;
const WINNERS: usize = BATCH + 3 * REQUEST_COLUMN;

const NO_SUITABLE_BACKEND: i32 = -1;

const UNHEALTHY: u32 = 0;
const HEALTHY: u32 = 2;

/** Earth's diameter in units of 1,000 km: distance / 1,000 km = THOUSANDS_KM * (half the central angle). */
const THOUSANDS_KM: f64 = 12.742;
const HALF_PI: f64 = 1.5707963267948966;

// asin(s) = s + s * z * P(z) / Q(z), z = s^2 <= 1/4: the rational approximation of FreeBSD's msun, error below 1 ulp.
const P0: f64 = 0.16666666666666666;
const P1: f64 = -0.3255658186224009;
const P2: f64 = 0.20121253213486293;
const P3: f64 = -0.04005553450067941;
const P4: f64 = 0.0007915349942898145;
const P5: f64 = 3.479331075960212e-5;
const Q1: f64 = -2.403394911734414;
const Q2: f64 = 2.0209457602335057;
const Q3: f64 = -6.8828397160545329303e-1;
const Q4: f64 = 0.07703815055590194;

let backends: u32 = 0;
let candidates: u32 = 0;
/** Whether a backend has become a candidate, or ceased to be one, since CANDIDATES was written. */
let candidatesChanged: bool = true;
let generator: u32 = 0;

/** Begins anew with `count` backends, none of which is a candidate or has a location. */
export function scoreBegin(count: u32): void {
  backends = count;
  candidatesChanged = true;
  const rows: u32 = (count + 7) & ~7;
  for (let at: usize = 0, end = (<usize>rows) << 3; at < end; at += 8) {
    store<f64>(BASE + at, -Infinity);
    store<f64>(X + at, NaN);
  }
}

/** `busy`: the load. `health`: 0 unhealthy, 1 degraded, 2 healthy. */
export function scoreUpdate(backend: u32, busy: f64, responseMs: f64, health: u32): void {
  const at = BASE + ((<usize>backend) << 3);
  let base = -Infinity;
  // False for NaN, too.
  if (health != UNHEALTHY && responseMs >= 0 && busy == busy) {
    const free = 1 - min<f64>(max<f64>(busy, 0), 1);
    base = 0.4 * free + 0.3 / (1 + responseMs / 1000) + 0.2 * <f64>(health == HEALTHY);
  }
  candidatesChanged = candidatesChanged || (base == -Infinity) != (load<f64>(at) == -Infinity);
  store<f64>(at, base);
}

export function scoreLocate(backend: u32, x: f64, y: f64, z: f64): void {
  const at = (<usize>backend) << 3;
  store<f64>(X + at, x);
  store<f64>(Y + at, y);
  store<f64>(Z + at, z);
}

function pairOf(column: usize, first: usize, second: usize): v128 {
  return v128.load64_lane(column + second, v128.load64_zero(column + first), 1);
}

/** Scores of the backends at the offsets `first` and `second` of a column. It has one caller, so that it is compiled into its loop. */
function scorePair(first: usize, second: usize, x: v128, y: v128, z: v128): v128 {
  const dx = f64x2.sub(pairOf(X, first, second), x);
  const dy = f64x2.sub(pairOf(Y, first, second), y);
  const dz = f64x2.sub(pairOf(Z, first, second), z);
  const chord = f64x2.add(f64x2.add(f64x2.mul(dx, dx), f64x2.mul(dy, dy)), f64x2.mul(dz, dz));
  const a = f64x2.pmin(f64x2.mul(f64x2.splat(0.25), chord), f64x2.splat(1));
  // Above 1/4: asin(sqrt(a)) = pi/2 - 2 asin(sqrt((1 - sqrt(a)) / 2)).
  const far = f64x2.gt(a, f64x2.splat(0.25));
  const u = v128.bitselect(f64x2.mul(f64x2.splat(0.5), f64x2.sub(f64x2.splat(1), f64x2.sqrt(a))), a, far);
  const root = f64x2.sqrt(u);
  const s = v128.bitselect(f64x2.mul(f64x2.splat(-2), root), root, far);
  const from = v128.and(f64x2.splat(HALF_PI), far);
  let p = f64x2.add(f64x2.mul(f64x2.splat(P5), u), f64x2.splat(P4));
  p = f64x2.add(f64x2.mul(p, u), f64x2.splat(P3));
  p = f64x2.add(f64x2.mul(p, u), f64x2.splat(P2));
  p = f64x2.add(f64x2.mul(p, u), f64x2.splat(P1));
  p = f64x2.mul(f64x2.add(f64x2.mul(p, u), f64x2.splat(P0)), u);
  let q = f64x2.add(f64x2.mul(f64x2.splat(Q4), u), f64x2.splat(Q3));
  q = f64x2.add(f64x2.mul(q, u), f64x2.splat(Q2));
  q = f64x2.add(f64x2.mul(q, u), f64x2.splat(Q1));
  q = f64x2.add(f64x2.mul(q, u), f64x2.splat(1));
  // 1 / (1 + km / 1000) with the angle from + s + s * p / q, multiplied by q: one division instead of two.
  const angle = f64x2.add(f64x2.mul(from, q), f64x2.mul(s, f64x2.add(q, p)));
  const near = f64x2.div(q, f64x2.add(q, f64x2.mul(f64x2.splat(THOUSANDS_KM), angle)));
  // NaN, without a location, becomes 0.
  return f64x2.add(pairOf(BASE, first, second), f64x2.mul(f64x2.splat(0.1), f64x2.pmax(f64x2.splat(0), near)));
}

/** The best backend for a request without a location. */
export function scorePick(): i32 {
  const end = BASE + ((<usize>((backends + 7) & ~7)) << 3);
  let a = f64x2.splat(-Infinity);
  let b = a;
  let c = a;
  let d = a;
  for (let at = BASE; at < end; at += 64) {
    a = f64x2.pmax(a, v128.load(at));
    b = f64x2.pmax(b, v128.load(at, 16));
    c = f64x2.pmax(c, v128.load(at, 32));
    d = f64x2.pmax(d, v128.load(at, 48));
  }
  a = f64x2.pmax(f64x2.pmax(a, b), f64x2.pmax(c, d));
  const most = max<f64>(f64x2.extract_lane(a, 0), f64x2.extract_lane(a, 1));
  if (most == -Infinity) return NO_SUITABLE_BACKEND;

  const wanted = f64x2.splat(most);
  let at = BASE;
  while (true) {
    a = f64x2.eq(v128.load(at), wanted);
    b = f64x2.eq(v128.load(at, 16), wanted);
    c = f64x2.eq(v128.load(at, 32), wanted);
    d = f64x2.eq(v128.load(at, 48), wanted);
    if (v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)))) {
      const low = i64x2.bitmask(a) | (i64x2.bitmask(b) << 2);
      const bits = low | (i64x2.bitmask(c) << 4) | (i64x2.bitmask(d) << 6);
      return <i32>((at - BASE) >> 3) + ctz<i32>(bits);
    }
    at += 64;
  }
}

/** Score of the last bestClose's winner. */
let bestScore: f64 = 0;

/** The best of the first `count` backends in CLOSE, of which there is at least one, for a request at a unit vector. */
function bestClose(count: usize, x: f64, y: f64, z: f64): i32 {
  const xs = f64x2.splat(x);
  const ys = f64x2.splat(y);
  const zs = f64x2.splat(z);
  const end = CLOSE + (count << 2);
  store<u32>(end, load<u32>(end - 4)); // The other of an odd one: itself, so that it changes nothing.
  let best: usize = 0;
  let most = -Infinity;
  for (let at = CLOSE; at < end; at += 8) {
    const first = <usize>load<u32>(at);
    const second = <usize>load<u32>(at, 4);
    const scores = scorePair(first, second, xs, ys, zs);
    const one = f64x2.extract_lane(scores, 0);
    const other = f64x2.extract_lane(scores, 1);
    if (one > most) {
      best = first;
      most = one;
    }
    if (other > most) {
      best = second;
      most = other;
    }
  }
  bestScore = most;
  return <i32>(best >> 3);
}

/** The best backend for a request at a unit vector; `likely` is scorePick's. */
function pickNear(likely: i32, x: f64, y: f64, z: f64): i32 {
  if (likely == NO_SUITABLE_BACKEND) return NO_SUITABLE_BACKEND;
  store<u32>(CLOSE, (<u32>likely) << 3);
  bestClose(1, x, y, z);
  const mark = f64x2.splat(bestScore);
  const nextDoor = f64x2.splat(0.1);
  let end = CLOSE;
  // Without branches: each offset is written, and stays if it counts.
  for (let at: usize = 0, rows = (<usize>backends) << 3; at < rows; at += 16) {
    const bits = i64x2.bitmask(f64x2.ge(f64x2.add(v128.load(BASE + at), nextDoor), mark));
    store<u32>(end, <u32>at);
    end += (<usize>(bits & 1)) << 2;
    store<u32>(end, <u32>at + 8);
    end += (<usize>(bits & 2)) << 1;
  }
  return bestClose((end - CLOSE) >> 2, x, y, z);
}

/** The best backend for a request at a unit vector. */
export function scorePickNear(x: f64, y: f64, z: f64): i32 {
  return pickNear(scorePick(), x, y, z);
}

/** The best backend for each of the first `count` unit vectors in BATCH; NaN: without a location. Gives the address of the winners, i32. */
export function scorePickBatch(count: u32): usize {
  const likely = scorePick();
  for (let i: usize = 0; i < <usize>count; i++) {
    const at = BATCH + (i << 3);
    const x = load<f64>(at);
    const y = load<f64>(at, REQUEST_COLUMN);
    const z = load<f64>(at, 2 * REQUEST_COLUMN);
    store<i32>(WINNERS + (i << 2), x == x ? pickNear(likely, x, y, z) : likely);
  }
  return WINNERS;
}

/** Of one backend; -Infinity: no candidate. */
export function scoreOf(backend: u32, x: f64, y: f64, z: f64): f64 {
  const row = (<usize>backend) << 3;
  if (x != x) return load<f64>(BASE + row);
  store<u32>(CLOSE, <u32>row);
  bestClose(1, x, y, z);
  return bestScore;
}

export function scoreSeed(seed: u32): void {
  generator = seed;
}

/** An integer below `bound`: mulberry32, scaled. */
function drawBelow(bound: u32): u32 {
  generator += 0x6d2b79f5;
  let t = (generator ^ (generator >> 15)) * (generator | 1);
  t ^= t + (t ^ (t >> 7)) * (t | 61);
  return <u32>((<u64>(t ^ (t >> 14)) * <u64>bound) >> 32);
}

function listCandidates(): void {
  if (!candidatesChanged) return;
  candidatesChanged = false;
  candidates = 0;
  for (let i: u32 = 0; i < backends; i++) {
    if (load<f64>(BASE + ((<usize>i) << 3)) == -Infinity) continue;
    store<u32>(CANDIDATES + ((<usize>candidates) << 2), i);
    candidates++;
  }
}

/** Whether a place is among the first `count` of DRAWN. */
function isDrawn(place: u32, count: u32): bool {
  for (let i: u32 = 0; i < count; i++) if (load<u32>(DRAWN + ((<usize>i) << 2)) == place) return true;
  return false;
}

/** The two best of `choices` random candidates (of all, when there are no more): best + 1 in the lower half, the other + 1 in the upper; 0: there is none. */
export function scorePickTwo(choices: u32, x: f64, y: f64, z: f64): u32 {
  listCandidates();
  const drawn = min<u32>(min<u32>(choices, MAX_CHOICES), candidates);
  let best: u32 = 0;
  let other: u32 = 0;
  let most = -Infinity;
  let otherScore = -Infinity;
  for (let i: u32 = 0; i < drawn; i++) {
    // Floyd's sampling: each draw gives a place that was not drawn before, and none is thrown away.
    const last = candidates - drawn + i;
    let place = last;
    if (drawn < candidates) {
      const guess = drawBelow(last + 1);
      if (!isDrawn(guess, i)) place = guess;
    }
    store<u32>(DRAWN + ((<usize>i) << 2), place);
    const backend = load<u32>(CANDIDATES + ((<usize>place) << 2));
    const score = scoreOf(backend, x, y, z);
    if (score > most || (score == most && backend + 1 < best)) {
      other = best;
      otherScore = most;
      best = backend + 1;
      most = score;
    } else if (score > otherScore || (score == otherScore && backend + 1 < other)) {
      other = backend + 1;
      otherScore = score;
    }
  }
  return best | (other << 16);
}
