/** The processor as worker processes, and this process as their parent: it has the API, and the embedded broker if there is one. */
import { randomUUID } from 'node:crypto';
import type { Config } from '../config.ts';
import type { OpenKafka } from '../kafka/connect.ts';
import { startWorkers } from '../workers/supervisor.ts';
import type { Part, RoleContext } from './run.ts';

/** Compiled or not, the worker's program is beside this file and ends as it does. */
const PROGRAM = new URL(import.meta.url.replace('/workers-part.', '/process-worker.'));

export async function startWorkersPart({ config, kafka, metrics, log }: RoleContext, count: number): Promise<Part> {
  // One that is nobody else's, and lasts as long as this process starts its workers again.
  const instanceId = config.kafka.instanceId ?? randomUUID();
  return startWorkers({
    count,
    program: PROGRAM,
    settingsOf: (worker) => workerConfig(config, kafka, `${instanceId}-${worker}`),
    metrics,
    log,
  });
}

/**
 * An id that a worker keeps when it is started again. And the broker that this process has opened: a worker must not look
 * for one, or start one, by itself.
 */
function workerConfig(config: Config, kafka: OpenKafka, instanceId: string): Config {
  if (!kafka.embedded) return { ...config, kafka: { ...config.kafka, instanceId } };
  const { sasl: _, ...own } = config.kafka;
  return { ...config, kafka: { ...own, instanceId, brokers: kafka.brokers, tls: { enabled: false } } };
}
