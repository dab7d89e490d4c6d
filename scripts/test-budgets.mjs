/**
 * What the tests may take on two cores. A suite is a folder below test/ (a file directly in test/ by its own name); its
 * time is what its files' tests and hooks took, added up. As many files run at once as there are workers, so a part's time
 * is its suites' divided by that.
 */

/** `npm test` in all, from its start to its end. Later parts may use what this one leaves. */
export const ALL_MINUTES = 16;

export const PARTS = [
  {
    part: 'main job',
    minutes: 4,
    suiteSeconds: { api: 30, cli: 60, load: 20, loadgen: 40, pipeline: 240, roles: 90, topics: 30 },
  },
  { part: 'kernels', minutes: 3, suiteSeconds: { kernels: 180 } },
  { part: 'Kafka', minutes: 2, suiteSeconds: { contract: 100, kafka: 150, workers: 30 } },
  { part: 'sharding', minutes: 4, suiteSeconds: { control: 20, coordination: 100, runtime: 180, simulation: 120 } },
  { part: 'bridge', minutes: 2, suiteSeconds: { bridge: 120 } },
];

/** For suites that no part names, which belong to the first part. */
export const OTHER_SUITE_SECONDS = 30;
