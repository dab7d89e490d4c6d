/**
 * What the tests may take on two cores: about twice what a quiet machine needs, as a busy one must not fail for that. A
 * suite is a folder below test/ (a file directly in test/ by its own name); its time is what its files' tests and hooks
 * took, added up. As many files run at once as there are workers, so a part's time is its suites' divided by that.
 */

/** `npm test` in all, from its start to its end. Later parts may use what this one leaves. */
export const ALL_MINUTES = 16;

export const PARTS = [
  {
    part: 'main job',
    minutes: 5,
    suiteSeconds: { api: 30, cli: 120, load: 20, loadgen: 60, pipeline: 300, roles: 150, topics: 30 },
  },
  { part: 'kernels', minutes: 2, suiteSeconds: { kernels: 240 } },
  { part: 'Kafka', minutes: 3, suiteSeconds: { contract: 180, kafka: 200, workers: 40 } },
  { part: 'sharding', minutes: 5, suiteSeconds: { control: 40, coordination: 100, runtime: 320, simulation: 240 } },
  { part: 'bridge', minutes: 1, suiteSeconds: { bridge: 120 } },
];

/** For suites that no part names, which belong to the first part. */
export const OTHER_SUITE_SECONDS = 30;
