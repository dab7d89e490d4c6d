import { expect, it } from 'vitest';
import type { ClusterView } from '../../../src/kafka/kafkajs/cluster.ts';
import type { Links } from '../../../src/kafka/kafkajs/links.ts';
import { encodeHeaders } from '../../../src/kafka/kafkajs/outgoing-batch.ts';
import { produceOnce } from '../../../src/kafka/kafkajs/produce.ts';

const MiB = 1024 * 1024;

it('sends batches that together are more than a broker takes in several requests, each with its own result', async () => {
  const requestBytes: number[] = [];
  const refused = '10';
  // A broker that stores what it is sent, but for one partition.
  const link = {
    async request({ request }: { request: { encode(): readonly Uint8Array[] } }) {
      requestBytes.push(request.encode().reduce((sum, piece) => sum + piece.length, 0));
      return batches.map(({ topic, partition }) => ({
        topic,
        partition,
        errorCode: String(partition) === refused ? refused.length : 0,
      }));
    },
  };
  const cluster = {
    knownLeader: () => null,
    requireLeader: async () => ({ host: 'broker', port: 1 }),
    forgetLeader() {},
    forgetLeaderships() {},
  } as unknown as ClusterView;
  const links = { to: async () => link } as unknown as Links;
  const value = new Uint8Array(8 * MiB);
  const batches = Array.from({ length: 16 }, (_, partition) => ({
    topic: 't',
    partition,
    records: [{ value, key: null, headers: encodeHeaders([]) }],
    identity: { producerId: 1n, producerEpoch: 0 },
    firstSequence: 0,
    timestampMs: 0,
  }));
  const results = await produceOnce(batches, {
    cluster,
    links,
    compression: 'none',
    transactionalId: 'id',
    timeoutMs: 1_000,
  });
  expect(requestBytes.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(16 * 8 * MiB);
  // `socket.request.max.bytes` of a broker with default settings.
  expect(Math.max(...requestBytes)).toBeLessThan(100 * MiB);
  expect(batches.filter((batch) => !results.get(batch)!.stored).map(({ partition }) => partition)).toEqual([10]);
});
