/** The score in JS, as fast as it gets: columns in typed arrays, what does not depend on the request worked out in advance, no allocation. */
import type { Backend, Location } from '../../../src/kernels/score/kernel.ts';

export interface Columns {
  readonly load: Float64Array;
  readonly responseMs: Float64Array;
  readonly healthy: Float64Array;
  /** The score without the distance. */
  readonly base: Float64Array;
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly z: Float64Array;
}

/** All are candidates and have a location. */
export function columnsOf(backends: readonly Backend[]): Columns {
  const column = (value: (backend: Backend) => number) => Float64Array.from(backends, value);
  const at = backends.map((backend) => unitVector(backend.location!));
  return {
    load: column((backend) => backend.load),
    responseMs: column((backend) => backend.responseMs),
    healthy: column((backend) => (backend.health === 'healthy' ? 1 : 0)),
    base: column((backend) => baseOf(backend.load, backend.responseMs, backend.health === 'healthy' ? 1 : 0)),
    x: Float64Array.from(at, (vector) => vector[0]),
    y: Float64Array.from(at, (vector) => vector[1]),
    z: Float64Array.from(at, (vector) => vector[2]),
  };
}

export function baseOf(load: number, responseMs: number, healthy: number): number {
  return 0.4 * (1 - load) + 0.3 / (1 + responseMs / 1000) + 0.2 * healthy;
}

function unitVector({ latitude, longitude }: Location): readonly [number, number, number] {
  const onAxis = Math.cos((latitude * Math.PI) / 180);
  const around = (longitude * Math.PI) / 180;
  return [onAxis * Math.cos(around), onAxis * Math.sin(around), Math.sin((latitude * Math.PI) / 180)];
}

/** Works every score out anew. */
export function pickFromColumns({ load, responseMs, healthy }: Columns): number {
  let best = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < load.length; i++) {
    const score = 0.4 * (1 - load[i]!) + 300 / (1000 + responseMs[i]!) + 0.2 * healthy[i]!;
    if (score > most) {
      most = score;
      best = i;
    }
  }
  return best;
}

/** Looks for the largest of the scores worked out in advance. */
export function pickFromBase({ base }: Columns): number {
  let best = 0;
  let most = base[0]!;
  for (let i = 1; i < base.length; i++) {
    const score = base[i]!;
    if (score > most) {
      most = score;
      best = i;
    }
  }
  return best;
}

/** With the distance, from unit vectors: one square root and one arcsine a backend. */
export function pickNear({ base, x, y, z }: Columns, from: Location): number {
  const [fromX, fromY, fromZ] = unitVector(from);
  let best = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < base.length; i++) {
    const dx = x[i]! - fromX;
    const dy = y[i]! - fromY;
    const dz = z[i]! - fromZ;
    const halfChord = Math.sqrt(dx * dx + dy * dy + dz * dz) * 0.5;
    const score = base[i]! + 0.1 / (1 + 12.742 * Math.asin(halfChord < 1 ? halfChord : 1));
    if (score > most) {
      most = score;
      best = i;
    }
  }
  return best;
}

// As in assembly/score.ts.
const P0 = 0.16666666666666666;
const P1 = -0.3255658186224009;
const P2 = 0.20121253213486293;
const P3 = -0.04005553450067941;
const P4 = 0.0007915349942898145;
const P5 = 3.479331075960212e-5;
const Q1 = -2.403394911734414;
const Q2 = 2.0209457602335057;
const Q3 = -0.6882839716054533;
const Q4 = 0.07703815055590194;

/** As the kernel does it: distances only where they can matter, with a rational approximation of the arcsine. */
export function pickNearPruned(columns: Columns, from: Location): number {
  const { base, x, y, z } = columns;
  const [fromX, fromY, fromZ] = unitVector(from);
  let best = pickFromBase(columns);
  let most = scoreNear(base[best]!, x[best]! - fromX, y[best]! - fromY, z[best]! - fromZ);
  for (let i = 0; i < base.length; i++) {
    if (base[i]! + 0.1 < most) continue;
    const score = scoreNear(base[i]!, x[i]! - fromX, y[i]! - fromY, z[i]! - fromZ);
    if (score > most || (score === most && i < best)) {
      most = score;
      best = i;
    }
  }
  return best;
}

function scoreNear(base: number, dx: number, dy: number, dz: number): number {
  const a = 0.25 * (dx * dx + dy * dy + dz * dz);
  let u = a;
  let factor = 1;
  let start = 0;
  if (a > 0.25) {
    u = 0.5 - 0.5 * Math.sqrt(a < 1 ? a : 1);
    factor = -2;
    start = 1.5707963267948966;
  }
  const p = u * (P0 + u * (P1 + u * (P2 + u * (P3 + u * (P4 + u * P5)))));
  const q = 1 + u * (Q1 + u * (Q2 + u * (Q3 + u * Q4)));
  const angle = start * q + factor * Math.sqrt(u) * (q + p);
  return base + (0.1 * q) / (q + 12.742 * angle);
}

/** The better and the other of two different random ones; all are candidates. */
export function pickTwoFromBase({ base }: Columns): readonly [number, number] {
  const one = Math.floor(Math.random() * base.length);
  const offset = 1 + Math.floor(Math.random() * (base.length - 1));
  const two = (one + offset) % base.length;
  return base[one]! > base[two]! ? [one, two] : [two, one];
}
