/** A port whose readers of one topic can be held up, while everything else goes on: a member whose view of that topic lags. */
import type { KafkaPort, PartitionReader } from '../../src/kafka/port.ts';
import { standIn } from './stand-in.ts';

export interface GatedPort {
  readonly port: KafkaPort;
  /** From now on nothing of the topic is handed over, until the answer is called. */
  hold(): () => void;
}

export function gatePort(port: KafkaPort, topic: string): GatedPort {
  let open = Promise.resolve();
  const gate = (reader: PartitionReader & { close(): Promise<void> }) =>
    standIn(reader, {
      async poll(maxWaitMs) {
        const outcome = await reader.poll(maxWaitMs);
        await open;
        return outcome;
      },
    });
  return {
    port: standIn(port, {
      reader(at, options) {
        const reader = port.reader(at, options);
        return at.topic === topic ? gate(reader) : reader;
      },
    }),
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      open = promise;
      return resolve;
    },
  };
}
