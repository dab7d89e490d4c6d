import { expect, it } from 'vitest';
import { type ControlLogFollower, followControlLog } from '../../src/coordination/control-log.ts';
import { encodeEvent, ringActiveEvent } from '../../src/coordination/events.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { createFaults, createMemoryKafka } from '../../src/kafka/memory/index.ts';
import { createLog } from '../../src/log.ts';
import { followRings } from '../../src/pipeline/ring-source.ts';
import { createControlTopics, kernels, produce, testConfig } from '../coordination/cluster.ts';

const log = createLog({ level: 'silent' });
const never = new AbortController().signal;
const settled = async (promise: Promise<unknown>) =>
  Promise.race([promise.then(() => true), new Promise((resolve) => setTimeout(() => resolve(false), 100))]);

it('holds up who opens a partition until the log is read far enough for that partition, however late it is read', async () => {
  const kafka = createMemoryKafka();
  const port = kafka.connect();
  const names = await createControlTopics(port);
  const first = firstRing(testConfig(), kernels.ring, kernels.hash);
  await produce(port, names.control, encodeEvent(ringActiveEvent(first, 1)));
  const faults = createFaults();
  const slow = kafka.connect(faults.intercept);
  const follower: ControlLogFollower = await followControlLog(slow, names);
  const rings = followRings(follower, log);
  const release = faults.stall(({ name }) => name === 'Fetch');
  const led = { version: 1, at: 2, leaderEpoch: 0, sequence: 1 } as const;
  const move = { from: 0, to: 1, runs: [first.signals.logs.slots.indexOf(0), 1] };
  const change = { logs: { moves: [move], added: [], retired: [], overrides: [] } };
  // A fetch that had its answer before the stall may bring the first of these, not the second.
  await produce(
    port,
    names.control,
    encodeEvent({ ...led, type: 'RequestAnswered', id: 'i', outcome: 'refused', text: '' }),
  );
  await produce(
    port,
    names.control,
    encodeEvent({ ...led, type: 'RingProposed', epoch: 2, base: 1, change, carryMs: 0, reason: 'r' }),
  );

  // Its offset names the epoch that is known.
  expect(await settled(rings.reach(1, never))).toBe(true);
  // Its offset names one that only others have read; or it has none, and may have been added after the change was under way.
  const [byOffset, without] = [rings.reach(2, never), rings.reach(null, never)];
  expect(await Promise.all([settled(byOffset), settled(without)])).toEqual([false, false]);
  expect(rings.newest.epoch).toBe(1);
  release();
  await Promise.all([byOffset, without]);
  expect([rings.newest.epoch, rings.activeEpoch]).toEqual([2, 1]);
  expect(rings.newest.touched.logs).toEqual([0, 1]);
  // One object for each epoch: the kernel copies no table twice.
  expect(rings.newest).toBe(rings.newest);
  await follower.close();
  await slow.close();
  await port.close();
});
