import { expect, it } from 'vitest';
import type { ClusterView } from '../../../src/kafka/kafkajs/cluster.ts';
import type { Links } from '../../../src/kafka/kafkajs/links.ts';
import { openSink } from '../../../src/kafka/kafkajs/sink.ts';
import { eventually } from '../../support/eventually.ts';

const CONCURRENT_TRANSACTIONS = 51;

it('opening a sink whose predecessor cannot end its transaction is given up with the signal, and not tried once more', async () => {
  let asked = 0;
  // A coordinator that waits for a marker which one shard's leader cannot take.
  const link = {
    async request() {
      asked++;
      return { errorCode: CONCURRENT_TRANSACTIONS, producerId: '-1', producerEpoch: -1 };
    },
  };
  const cluster = { coordinatorOf: async () => ({ host: 'broker', port: 1 }), forgetCoordinator() {} };
  const revoked = new AbortController();
  const opening = openSink(
    { fencingKey: 'key', groupId: 'g', transactionTimeoutMs: 10_000, signal: revoked.signal },
    {
      cluster: cluster as unknown as ClusterView,
      links: { to: async () => link } as unknown as Links,
      compression: 'none',
      requestTimeoutMs: 10_000,
      openTimeoutMs: 60_000,
    },
  );
  const refused = expect(opening).rejects.toThrow('CONCURRENT_TRANSACTIONS');
  await eventually(() => expect(asked).toBeGreaterThan(1));
  const before = asked;
  revoked.abort();
  await refused;
  expect(asked).toBe(before);
});
