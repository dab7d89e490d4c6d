/** The real Kafka of this test run: `describeOnKafka` for suites that need it, `recordAdapter` for what a run has tested. */
import { beforeEach, describe, inject, it } from 'vitest';

export interface RealKafka {
  /** `127.0.0.1:PORT` */
  readonly brokers: string;
  /**
   * A second listener: the broker listens on `listenPort` and tells clients that come in by it to come to
   * `advertisedPort`, where a test may put a fault proxy that forwards to `listenPort`. One test file at a time.
   */
  readonly proxied: { readonly listenPort: number; readonly advertisedPort: number };
}

export type ProvidedKafka = RealKafka | { readonly reason: string };

declare module 'vitest' {
  interface ProvidedContext {
    kafka: ProvidedKafka;
  }
}

export type AdapterName = 'kafkajs' | 'librdkafka' | 'memory';

/** What a test leaves in its meta for the reporter. */
export interface AdapterMeta {
  kafkaAdapter?: AdapterName;
}

/** Within a `describe`: its tests count as tests of this Kafka adapter in the run's last lines. */
export function recordAdapter(adapter: AdapterName): void {
  beforeEach(({ task }) => {
    (task.meta as AdapterMeta).kafkaAdapter = adapter;
  });
}

/** A suite on real Kafka. Without one it is a single skipped test whose name says why; `body` is not called. */
export function describeOnKafka(
  name: string,
  body: (kafka: RealKafka) => void,
  adapter: AdapterName = 'kafkajs',
): void {
  const kafka = inject('kafka');
  if ('reason' in kafka) {
    describe(name, () => {
      it.skip(`SKIPPED, there is no real Kafka: ${kafka.reason}`, () => {});
    });
    return;
  }
  describe(name, () => {
    recordAdapter(adapter);
    body(kafka);
  });
}
