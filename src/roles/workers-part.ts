/** The processor as worker processes, and this process as their parent: it has the API, and the embedded broker if there is one. */
import type { Config } from '../config.ts';
import type { OpenKafka } from '../kafka/connect.ts';
import { startWorkers } from '../workers/supervisor.ts';
import type { Part, RoleContext } from './run.ts';

/** Compiled or not, the worker's program is beside this file and ends as it does. */
const PROGRAM = new URL(import.meta.url.replace('/workers-part.', '/process-worker.'));

export async function startWorkersPart({ config, kafka, metrics, log }: RoleContext, count: number): Promise<Part> {
  return startWorkers({
    count,
    program: PROGRAM,
    settingsOf: () => workerConfig(config, kafka),
    metrics,
    log,
  });
}

/** The broker that this process has opened: a worker must not look for one, or start one, by itself. */
function workerConfig(config: Config, kafka: OpenKafka): Config {
  if (!kafka.embedded) return config;
  const { sasl: _, ...own } = config.kafka;
  return { ...config, kafka: { ...own, brokers: kafka.brokers, tls: { enabled: false } } };
}
