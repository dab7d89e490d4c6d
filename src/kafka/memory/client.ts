/** One client of the in-process log: its way to the broker, and how it tries again. */
import { WeirError } from '../../errors.ts';
import type { Broker } from './broker.ts';
import { BrokerError } from './broker-errors.ts';
import { delay } from './clock.ts';
import type { RequestName, Wire } from './wire.ts';

export interface Client {
  readonly broker: Broker;
  readonly wire: Wire;
}

export const RETRY_DELAY_MS = 20;
/** How long a request outside any stated limit is tried. */
const REQUEST_TIMEOUT_MS = 30_000;

/** Tries again what may succeed later, up to `timeoutMs`; then fails with one sentence about `doing`. */
export async function retried<T>(
  { broker, wire }: Client,
  name: RequestName,
  doing: string,
  serve: () => T,
  timeoutMs: number = REQUEST_TIMEOUT_MS,
  signal?: AbortSignal,
): Promise<T> {
  const deadlineMs = broker.clock.now() + timeoutMs;
  for (;;) {
    try {
      return await wire.request(name, serve);
    } catch (error) {
      if (!(error instanceof BrokerError) || !error.canRetry || signal?.aborted) throw error;
      if (broker.clock.now() + RETRY_DELAY_MS > deadlineMs) {
        throw new WeirError('KAFKA_UNREACHABLE', `${doing} did not succeed within ${timeoutMs} ms: ${error.message}`, {
          cause: error,
        });
      }
      await delay(broker.clock, RETRY_DELAY_MS, wire.closed);
    }
  }
}
