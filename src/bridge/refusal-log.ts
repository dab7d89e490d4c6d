import type { Logger } from 'pino';
import type { Signal } from '../signals.ts';
import type { Transport } from './intake.ts';
import type { RefusalReason } from './refusal.ts';

/** What is logged: a refusal, or items of an accepted request that partial_success names. */
export interface RefusedRequest {
  readonly signal: Signal | null;
  readonly transport: Transport;
  readonly reason: RefusalReason | 'partial_success';
  readonly message: string;
}

/** One line a second for each reason, at most: thousands of exporters are refused at once when Kafka is slow. */
const INTERVAL_MS = 1_000;

export function createRefusalLog(log: Logger, now: () => number = () => performance.now()) {
  const lines = new Map<RefusedRequest['reason'], { nextAt: number; withheld: number }>();
  return {
    note({ signal, transport, reason, message }: RefusedRequest): void {
      const at = now();
      const line = lines.get(reason) ?? { nextAt: 0, withheld: 0 };
      lines.set(reason, line);
      if (at < line.nextAt) {
        line.withheld++;
        return;
      }
      const what = reason === 'partial_success' ? 'request accepted in part' : 'request refused';
      log.warn({ reason, signal, transport, alsoRefused: line.withheld }, `${what}: ${message}`);
      line.nextAt = at + INTERVAL_MS;
      line.withheld = 0;
    },
  };
}
