/** A port whose readers of one topic can be held up, while everything else goes on: a member whose view of that topic lags. */
import type { KafkaPort, PartitionReader } from '../../src/kafka/port.ts';

export interface GatedPort {
  readonly port: KafkaPort;
  /** From now on nothing of the topic is handed over, until the answer is called. */
  hold(): () => void;
}

export function gatePort(port: KafkaPort, topic: string): GatedPort {
  let open = Promise.resolve();
  const gate = (reader: PartitionReader & { close(): Promise<void> }) =>
    instead(reader, 'poll', async (maxWaitMs: number) => {
      const outcome = await reader.poll(maxWaitMs);
      await open;
      return outcome;
    });
  return {
    port: instead(port, 'reader', (at, options) => {
      const reader = port.reader(at, options);
      return at.topic === topic ? gate(reader) : reader;
    }),
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      open = promise;
      return resolve;
    },
  };
}

/** The same object but for one method. */
function instead<T extends object, K extends keyof T>(of: T, method: K, by: T[K]): T {
  return new Proxy(of, {
    get(target, key) {
      if (key === method) return by;
      const value = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
