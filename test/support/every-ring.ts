import type { ControlLogFollower } from '../../src/coordination/control-log.ts';
import type { RingEpoch } from '../../src/coordination/ring-epoch.ts';

/**
 * By epoch: every ring from the one in force on, kept up to date. A proposed one is there before it is in force: processors go by it
 * already, and a test may end meanwhile.
 */
export function everyRing(control: ControlLogFollower): ReadonlyMap<number, RingEpoch> {
  const rings = new Map<number, RingEpoch>();
  const keep = ({ ring, proposed }: ControlLogFollower['state']) => {
    for (const of of [ring, proposed?.ring]) if (of) rings.set(of.epoch, of);
  };
  keep(control.state);
  control.onChange(keep);
  return rings;
}
