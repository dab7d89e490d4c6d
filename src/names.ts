import { ITEM_NAMES, type Signal } from './signals.ts';

/**
 * Every name that an installation puts on a cluster: topics, groups, transactional ids. All begin with the prefix, so that
 * installations share a cluster and one ACL with a prefixed pattern covers each.
 */
export interface Names {
  readonly prefix: string;
  ingest(signal: Signal): string;
  shard(signal: Signal, shard: number): string;
  /** The other way round; null for a name that is no shard topic of this installation. */
  parseShard(topic: string): { signal: Signal; shard: number } | null;
  readonly control: string;
  readonly snapshots: string;
  readonly requests: string;
  readonly load: string;
  readonly decisions: string;
  readonly deadLetter: string;
  readonly processGroup: string;
  readonly controlGroup: string;
  /** Whose offsets say how far the old shards of a change are copied. */
  readonly carryGroup: string;
  /** Fencing key of the processor of one input partition. */
  processorKey(topic: string, partition: number): string;
  /** Fencing key of who copies from an old shard. */
  carryKey(topic: string): string;
  /** Fencing key of a leader. */
  leaderKey(leader: string): string;
}

export function namesFor(prefix: string): Names {
  const processGroup = `${prefix}weir-process`;
  const ingest = (signal: Signal) => `${prefix}otlp_${ITEM_NAMES[signal]}`;
  /** Asked for again for each shard of each poll. */
  const shards: Record<Signal, string[]> = { traces: [], metrics: [], logs: [] };
  return {
    prefix,
    ingest,
    shard(signal, shard) {
      shards[signal][shard] ??= `${ingest(signal)}_shard_${String(shard).padStart(4, '0')}`;
      return shards[signal][shard];
    },
    parseShard(topic) {
      for (const signal of ['traces', 'metrics', 'logs'] as const) {
        const stem = `${ingest(signal)}_shard_`;
        const digits = topic.startsWith(stem) ? topic.slice(stem.length) : '';
        if (/^\d{4,5}$/.test(digits)) return { signal, shard: Number(digits) };
      }
      return null;
    },
    control: `${prefix}weir.control`,
    snapshots: `${prefix}weir.snapshots`,
    requests: `${prefix}weir.requests`,
    load: `${prefix}weir.load`,
    decisions: `${prefix}weir.decisions`,
    deadLetter: `${prefix}weir.dead_letter`,
    processGroup,
    controlGroup: `${prefix}weir-control`,
    carryGroup: `${prefix}weir-carry`,
    carryKey: (topic) => `${prefix}weir-carry.${topic}`,
    processorKey: (topic, partition) => `${processGroup}.${topic}.${partition}`,
    leaderKey: (leader) => `${prefix}weir-${leader}-leader`,
  };
}
