/** A running Weir's /metrics. */

export interface ScrapedMetrics {
  /** Over all labels. */
  sum(name: string): number;
  /** Of a histogram, over all labels; linear within a bucket, as Prometheus does it. NaN when it is empty. */
  quantile(name: string, quantile: number): number;
  /** The same of what was added since an earlier scrape. */
  quantileSince(earlier: ScrapedMetrics, name: string, quantile: number): number;
  /** Cumulative counts by upper bound, ascending. */
  buckets(name: string): ReadonlyMap<number, number>;
}

export async function readMetrics(apiPort: number): Promise<ScrapedMetrics> {
  const response = await fetch(`http://127.0.0.1:${apiPort}/metrics`);
  return parseMetrics(await response.text());
}

export function parseMetrics(text: string): ScrapedMetrics {
  const series = [...text.matchAll(/^(\w+)(?:\{([^}]*)\})? (\S+)$/gm)].map(([, name, labels = '', value]) => ({
    name,
    labels,
    value: Number(value),
  }));
  const metrics: ScrapedMetrics = {
    sum: (name) => series.filter((one) => one.name === name).reduce((sum, { value }) => sum + value, 0),
    buckets(name) {
      const counts = new Map<number, number>();
      for (const { labels, value } of series.filter((one) => one.name === `${name}_bucket`)) {
        const bound = Number(/le="([^"]+)"/.exec(labels)![1]!.replace('+Inf', 'Infinity'));
        counts.set(bound, (counts.get(bound) ?? 0) + value);
      }
      return new Map([...counts].sort(([a], [b]) => a - b));
    },
    quantile: (name, quantile) => quantileOf(metrics.buckets(name), quantile),
    quantileSince(earlier, name, quantile) {
      const before = earlier.buckets(name);
      const added = [...metrics.buckets(name)].map(
        ([bound, count]) => [bound, count - (before.get(bound) ?? 0)] as const,
      );
      return quantileOf(new Map(added), quantile);
    },
  };
  return metrics;
}

function quantileOf(cumulative: ReadonlyMap<number, number>, quantile: number): number {
  const bounds = [...cumulative];
  const rank = quantile * (bounds.at(-1)?.[1] ?? 0);
  let [low, below] = [0, 0];
  for (const [bound, count] of bounds) {
    // Above the last finite bound nothing is known but that it is above.
    if (count >= rank && count > below)
      return bound === Infinity ? low : low + ((bound - low) * (rank - below)) / (count - below);
    [low, below] = [bound, count];
  }
  return Number.NaN;
}
