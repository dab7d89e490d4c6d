import { expect, it } from 'vitest';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { EMPTY_STATE, type KnownMember, type ProposedRing } from '../../src/coordination/state.ts';
import { createMetrics } from '../../src/metrics.ts';
import { showState } from '../../src/runtime/state-metrics.ts';
import { kernels, testConfig } from '../coordination/cluster.ts';

it('the metrics of a controller show the ring, since when a change is in flight, and how many work in each role', async () => {
  const metrics = createMetrics();
  const shown = async () =>
    Object.fromEntries(
      (await metrics.registry.metrics())
        .split('\n')
        .filter((line) => /^weir_(ring|members)/.test(line))
        .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
    );
  const ring = firstRing(testConfig(), kernels.ring, kernels.hash);
  const proposed = { ring: { ...ring, epoch: 2 }, at: 1_700_000_000_500 } as ProposedRing;
  const member = (role: KnownMember['role']): KnownMember => ({ role, release: '0.1.0', since: 0 });
  const members = new Map([
    ['p-1', member('process')],
    ['p-2', member('process')],
    ['c-1', member('control')],
  ]);

  showState(metrics, { ring, proposed, members });
  metrics.ringWaiting.set(3);
  expect(await shown()).toEqual({
    weir_ring_epoch: 1,
    weir_ring_proposed_timestamp_seconds: 1_700_000_000.5,
    weir_ring_waiting_partitions: 3,
    'weir_members{role="bridge"}': 0,
    'weir_members{role="process"}': 2,
    'weir_members{role="control"}': 1,
    'weir_members{role="deliver"}': 0,
  });

  showState(metrics, { ...EMPTY_STATE, ring: proposed.ring });
  expect(await shown()).toMatchObject({
    weir_ring_epoch: 2,
    weir_ring_proposed_timestamp_seconds: 0,
    weir_ring_waiting_partitions: 0,
    'weir_members{role="process"}': 0,
  });
});
