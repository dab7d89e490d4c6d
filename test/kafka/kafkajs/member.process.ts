/**
 * A group member as a process of its own, to be killed: `node member.process.ts BROKERS GroupOptions-as-JSON`. Writes
 * each generation to stdout as a line of JSON.
 */
import { pino } from 'pino';
import { defaultConfig } from '../../../src/config.ts';
import { connectKafka } from '../../../src/kafka/kafkajs/index.ts';
import type { GroupOptions } from '../../../src/kafka/port.ts';

const [brokers, options] = process.argv.slice(2) as [string, string];
const port = await connectKafka(defaultConfig({ kafka: { brokers } }).kafka, pino({ level: 'silent' }));
const member = port.joinGroup(JSON.parse(options) as GroupOptions, {
  run: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
  onGeneration: (generation) => process.stdout.write(`${JSON.stringify(generation)}\n`),
});
await member.done;
