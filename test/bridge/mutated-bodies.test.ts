import { describe } from 'vitest';
import { mutatedBodiesSuite } from './mutated-bodies.suite.ts';
import { startRig } from './rig.ts';

describe('the bridge before an in-process log', () => {
  mutatedBodiesSuite({
    bodies: 2_000,
    timeoutMs: 240_000,
    async start() {
      const rig = await startRig();
      return {
        ...rig.bridge,
        stored: async (signal) => (await rig.stored(signal)).map(({ value }) => value),
        rssBytes: async () => null,
        close: rig.close,
      };
    },
  });
});
