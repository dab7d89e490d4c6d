/**
 * Sends batches to the leaders of their partitions, for the transactional sink and the idempotent producer: at most one batch a
 * partition at a time, all batches for a leader in one request, or in several where one would be too large for the broker.
 */
import type { ClusterView } from './cluster.ts';
import type { Compression } from './compression.ts';
import type { BrokerAddress } from './link.ts';
import type { Links } from './links.ts';
import { asError, BrokerError, ConnectionFault, ErrorCode } from './outcomes.ts';
import { type OutgoingRecord, type ProducerIdentity, recordBytes } from './outgoing-batch.ts';
import { type OutgoingBatch, produceRequest } from './produce-request.ts';

/**
 * Records that share a batch, whose size `max.message.bytes` limits, stay below Kafka's default for it (1,048,588). A
 * larger record goes alone.
 */
const SHARED_BATCH_BYTES = 1_000_000;
/**
 * Of one request, unless one batch is larger. A broker hangs up on requests above `socket.request.max.bytes` (100 MiB by
 * default), and a transaction that needs one would be tried again for ever.
 */
const REQUEST_BYTES = 32 * 1024 * 1024;

/** Sequence numbers of one producer id, by partition; they wrap after 2^31 - 1. */
export class Sequences {
  readonly identity: ProducerIdentity;
  readonly #next = new Map<string, Map<number, number>>();

  constructor(identity: ProducerIdentity) {
    this.identity = identity;
  }

  next(topic: string, partition: number): number {
    return this.#next.get(topic)?.get(partition) ?? 0;
  }

  /** Once the broker has appended them. */
  advance(topic: string, partition: number, records: number): void {
    const next = (this.next(topic, partition) + records) % 2 ** 31;
    const ofTopic = this.#next.get(topic);
    if (ofTopic) ofTopic.set(partition, next);
    else this.#next.set(topic, new Map([[partition, next]]));
  }
}

/** Cuts records of one partition into batches, in order. */
export function cutBatches<R extends OutgoingRecord>(records: readonly R[]): R[][] {
  const batches: R[][] = [];
  let bytes = 0;
  for (const record of records) {
    const more = recordBytes(record);
    const last = batches.at(-1);
    if (last && bytes + more <= SHARED_BATCH_BYTES) {
      last.push(record);
      bytes += more;
    } else {
      batches.push([record]);
      bytes = more;
    }
  }
  return batches;
}

export type BatchResult = { readonly stored: true } | { readonly stored: false; readonly error: Error };

/** One attempt at each batch, leaders in parallel. Never rejects: each batch gets its own result. */
export async function produceOnce<B extends OutgoingBatch>(
  batches: readonly B[],
  options: {
    cluster: ClusterView;
    links: Links;
    compression: Compression;
    transactionalId: string | null;
    timeoutMs: number;
  },
): Promise<ReadonlyMap<B, BatchResult>> {
  const { cluster, links } = options;
  const results = new Map<B, BatchResult>();
  const fail = (batch: B, error: Error) => results.set(batch, { stored: false, error });
  const byLeader = new Map<string, { leader: BrokerAddress; batches: B[] }>();
  const add = (leader: BrokerAddress, batch: B) => {
    const at = `${leader.host}:${leader.port}`;
    const group = byLeader.get(at);
    if (group) group.batches.push(batch);
    else byLeader.set(at, { leader, batches: [batch] });
  };
  const homeless: B[] = [];
  for (const batch of batches) {
    const leader = cluster.knownLeader(batch.topic, batch.partition);
    if (leader) add(leader, batch);
    else homeless.push(batch);
  }
  await Promise.all(
    homeless.map(async (batch) => {
      try {
        add(await cluster.requireLeader(batch.topic, batch.partition), batch);
      } catch (error) {
        fail(batch, asError(error));
      }
    }),
  );
  const requests = [...byLeader.values()].flatMap(({ leader, batches }) =>
    cutRequests(batches).map((together) => ({ leader, together })),
  );
  await Promise.all(
    requests.map(async ({ leader, together }) => {
      try {
        const link = await links.to(leader);
        const request = produceRequest({
          transactionalId: options.transactionalId,
          // The broker gives up first, so that its answer still comes.
          timeoutMs: Math.ceil(options.timeoutMs * 0.8),
          compression: options.compression,
          batches: together,
        });
        const produced = await link.request(request, options.timeoutMs);
        const answers = new Map(produced.map((answer) => [nameOf(answer), answer.errorCode]));
        for (const batch of together) {
          const code = answers.get(nameOf(batch));
          if (code === ErrorCode.none || code === ErrorCode.duplicateSequence) results.set(batch, { stored: true });
          else if (code === undefined) fail(batch, new ConnectionFault('no answer for this partition', { sent: true }));
          else fail(batch, new BrokerError('Produce', code, nameOf(batch)));
        }
      } catch (error) {
        cluster.forgetLeaderships(leader);
        for (const batch of together) fail(batch, asError(error));
      }
    }),
  );
  for (const [batch, result] of results) {
    if (!result.stored && result.error instanceof BrokerError && result.error.fault === 'moved') {
      cluster.forgetLeader(batch.topic);
    }
  }
  return results;
}

function cutRequests<B extends OutgoingBatch>(batches: readonly B[]): B[][] {
  const requests: B[][] = [];
  let bytes = 0;
  for (const batch of batches) {
    const more = batch.records.reduce((sum, record) => sum + recordBytes(record), 0);
    const last = requests.at(-1);
    if (last && bytes + more <= REQUEST_BYTES) {
      last.push(batch);
      bytes += more;
    } else {
      requests.push([batch]);
      bytes = more;
    }
  }
  return requests;
}

const nameOf = ({ topic, partition }: { topic: string; partition: number }) => `${topic}/${partition}`;
