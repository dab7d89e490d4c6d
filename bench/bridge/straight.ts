/** What Kafka takes for the same records without a bridge between: on a busy machine, the part of a latency that is not the bridge's. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ground, PARTITIONS, requestsOf } from '../pipeline/ground.ts';

/** The latency in ms that 99 of 100 records stay below, from when each was due until all replicas have it. */
export async function straightP99Ms(
  { kafka }: Ground,
  topic: string,
  { requestsPerSecond, forMs, spansPerRequest }: { requestsPerSecond: number; forMs: number; spansPerRequest: number },
): Promise<number> {
  const producer = await kafka.producer();
  const requests = requestsOf(spansPerRequest);
  const latenciesMs: number[] = [];
  const sending: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let sent = 0; ; sent++) {
    const dueAt = startedAt + (sent * 1e3) / requestsPerSecond;
    if (dueAt > startedAt + forMs) break;
    await sleep(Math.max(0, dueAt - performance.now()));
    const value = requests[sent % requests.length] as Uint8Array;
    const outcomes = producer.send([{ topic, partition: sent % PARTITIONS, value }]);
    sending.push(
      outcomes.then(([outcome]) => {
        if (outcome?.kind !== 'stored') throw outcome?.cause;
        latenciesMs.push(performance.now() - dueAt);
      }),
    );
  }
  await Promise.all(sending);
  await producer.close();
  return latenciesMs.sort((a, b) => a - b)[Math.floor(0.99 * (latenciesMs.length - 1))]!;
}
