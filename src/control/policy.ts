/** The settings that decisions go by: parts of `control` in the configuration. */
import type { Config } from '../config.ts';

type Control = Config['control'];

export type Policy = Pick<Control, 'scaling' | 'rebalance' | 'capacity' | 'ring'>;
export type ScalingPolicy = Control['scaling'];
export type RebalancePolicy = Control['rebalance'];
export type CapacityPolicy = Pick<Control, 'rebalance' | 'capacity' | 'ring'>;
