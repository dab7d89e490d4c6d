/** The Collector as a contender, in each of the two forms that do Weir's job: keyed by trace id, Kafka to Kafka. */
import { type Collector, startCollector } from '../collector/collector.ts';
import type { Contender } from './contender.ts';
import type { Ground } from './ground.ts';
import type { Case } from './matrix.ts';

export const COLLECTOR_FORMS = {
  'at-least-once': { name: 'Collector, no queue', guarantee: 'at least once' },
  fastest: { name: 'Collector, queue in memory', guarantee: 'a kill loses its queue' },
} as const;

/** Longer than any pause in its writing. */
const QUIET_MS = 500;

export type CollectorForm = keyof typeof COLLECTOR_FORMS;

/** The output is one topic with as many partitions as Weir has shards. */
export async function collectorContender(
  ground: Ground,
  binary: string,
  prefix: string,
  { shards, codec }: Case,
  form: CollectorForm,
  input: { readonly topic: string; readonly records: number },
): Promise<Contender> {
  const { admin } = ground.kafka;
  const output = `${prefix}collector-${form}`;
  await admin.createTopics([{ name: output, partitions: shards, config: { 'max.message.bytes': '8388608' } }]);
  const recordsIn = async (topic: string) =>
    (await admin.offsets(topic)).reduce((sum, { latest }) => sum + Number(latest), 0);
  let starts = 0;
  return {
    ...COLLECTOR_FORMS[form],
    async start() {
      const group = `${output}-${++starts}`;
      const before = await recordsIn(output);
      let [lastDone, lastDoneAtMs] = [0, 0];
      const collector: Collector = await startCollector(binary, form, {
        COLLECTOR_BROKERS: ground.brokers,
        COLLECTOR_GROUP: group,
        COLLECTOR_INPUT: input.topic,
        COLLECTOR_OUTPUT: output,
        COLLECTOR_COMPRESSION: codec,
      });
      return {
        ...collector,
        // It commits only each second, and with a queue before it has written: neither alone tells that it is through.
        async progress() {
          const committed = await admin.committedOffsets(group, input.topic);
          const read = committed.reduce((sum, { offset }) => sum + Number(offset ?? 0n), 0);
          const done = (await recordsIn(output)) - before;
          if (done !== lastDone) [lastDone, lastDoneAtMs] = [done, performance.now()];
          return { done, isAll: read === input.records && performance.now() - lastDoneAtMs >= QUIET_MS };
        },
      };
    },
    async written() {
      return { records: await recordsIn(output), bytes: ground.storedBytes([output]) };
    },
  };
}
