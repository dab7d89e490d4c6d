import type { KafkaPort, Poll } from '../../src/kafka/port.ts';

export type LogReader = ReturnType<KafkaPort['reader']>;

/** All records that there are by now, one after the other. */
export async function readOn(reader: LogReader, take: (poll: Poll, index: number) => Promise<void>): Promise<void> {
  for (;;) {
    const polled = await reader.poll(0);
    if (polled.kind !== 'poll') return;
    const { poll } = polled;
    for (let i = 0; i < poll.count; i++) await take(poll, i);
    poll.release();
  }
}
