/**
 * Compares implementations fairly on a noisy machine: they take turns, round by round, and it is the ratio within a round that
 * counts. A turn is one short run of benchmark.js; every second round goes backwards, so that nobody always follows the same one,
 * and each turn begins with a collected heap, so that nobody pays for another's garbage.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import Benchmark from 'benchmark';
import { type Goal, type Row, verdictOf } from '../rows.ts';
import { median } from '../statistics.ts';

export interface Comparison {
  /** The kernel: what `--only` selects by. */
  readonly name: string;
  readonly case: string;
  /** What one call of `run` works on, so that values are ns per item. */
  readonly items: number;
  readonly unit: string;
  readonly ours: Implementation;
  readonly peers: readonly Peer[];
  /** Input bytes of one call of each implementation: adds a row in GB/s, compared with the first peer. */
  readonly throughput?: { readonly bytes: number; readonly goal?: Goal };
  /** Heading of its panel in the plot. Absent: it is not plotted. */
  readonly plot?: string;
}

export interface Implementation {
  readonly name: string;
  /** Async only where the implementation is: an await costs more than a small kernel. */
  run(): unknown;
}

export interface Peer extends Implementation {
  /** What one of its calls works on, where that differs. */
  readonly items?: number;
  /** How many times faster than the peer ours has to be. */
  readonly goal?: Goal;
}

/**
 * Goals are judged by the wall clock. CPU time, of all threads of the process, is steadier on a busy machine, but charges
 * whoever makes garbage for the collector's threads also where a core was free for them: that flatters the kernels.
 */
export type Clock = 'wall' | 'cpu';

const TURN_SECONDS = 0.05;
/** Rounds that only let the compilers finish. */
const WARM_UP_ROUNDS = 2;

export async function compare(comparison: Comparison, rounds: number, clock: Clock): Promise<Row[]> {
  const { name, unit, ours, peers, throughput } = comparison;
  const turns = [ours, ...peers].map((implementation) => ({
    nanosPerItem: [] as number[],
    items: (implementation as Peer).items ?? comparison.items,
    seconds: turnsOf(implementation, clock),
  }));
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) {
      const nanos = ((await turn.seconds()) * 1e9) / turn.items;
      if (round >= 0) turn.nanosPerItem.push(nanos);
    }
  }
  const [own, ...others] = turns.map((turn) => turn.nanosPerItem) as [number[], ...number[][]];
  const ratioTo = (peer: number[]) => median(own.map((nanos, round) => peer[round]! / nanos));
  const value = median(own);
  const rows: Row[] = peers.map((peer, i) => {
    const ratio = ratioTo(others[i]!);
    return {
      name,
      case: comparison.case,
      value,
      unit,
      peer: peer.name,
      peer_value: median(others[i]!),
      ratio,
      ...(peer.goal && { goal: peer.goal, verdict: verdictOf(ratio, peer.goal) }),
    };
  });
  if (throughput && others[0]) {
    const gigabytes = (nanosPerItem: number) => throughput.bytes / (nanosPerItem * comparison.items);
    const { goal } = throughput;
    rows.push({
      name,
      case: comparison.case,
      value: gigabytes(value),
      unit: 'GB/s',
      peer: peers[0]!.name,
      peer_value: gigabytes(median(others[0])),
      ratio: ratioTo(others[0]),
      ...(goal && { goal: { ...goal, of: 'value' }, verdict: verdictOf(gigabytes(value), goal) }),
    });
  }
  return rows;
}

/** Each call is one turn: the mean seconds of a call of `run`. */
function turnsOf({ name, run }: Implementation, clock: Clock): () => Promise<number> {
  const Timed = clock === 'cpu' ? CpuBenchmark : Benchmark;
  const deferred = run() instanceof Promise;
  let calls = 1; // Learnt in the turn before, with some to spare: benchmark.js begins again where they fall short of the turn.
  return () =>
    new Promise((resolve, reject) => {
      collectGarbage();
      const benchmark = new Timed(name, {
        defer: deferred,
        initCount: calls,
        minTime: TURN_SECONDS,
        maxTime: 0,
        minSamples: 1,
        fn: deferred
          ? async (turn: { resolve(): void }) => {
              await run();
              turn.resolve();
            }
          : run,
        onComplete: () => {
          const seconds = benchmark.stats.mean;
          calls = Math.ceil((1.15 * TURN_SECONDS) / seconds);
          resolve(seconds);
        },
        onError: () => reject((benchmark as unknown as { error: Error }).error),
      });
      benchmark.run({ async: true });
    });
}

/** benchmark.js on a clock that it takes for process.hrtime: seconds and nanoseconds, since `from` if given. */
const CpuBenchmark = Benchmark.runInContext({
  process: {
    hrtime(from?: [number, number]): [number, number] {
      const { user, system } = process.cpuUsage();
      const nanos = (user + system) * 1e3 - (from ? from[0] * 1e9 + from[1] : 0);
      return [Math.floor(nanos / 1e9), nanos % 1e9];
    },
  },
}) as typeof Benchmark;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
