/** The floor as a contender: what no processor on Weir's connections could cost less than (`floor-process.ts`). */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { pollBytes } from '../../src/pipeline/poll-bytes.ts';
import { endWithRun } from '../child.ts';
import type { Contender } from './contender.ts';
import type { FloorMessage, FloorOptions } from './floor-process.ts';
import { countRecords, type Ground, PARTITIONS } from './ground.ts';
import type { Case } from './matrix.ts';

export type FloorForm = FloorOptions['form'];

export const FLOOR_FORMS: Readonly<Record<FloorForm, { readonly name: string; readonly guarantee: string }>> = {
  split: { name: 'raw protocol, split', guarantee: 'no transactions' },
  pass: { name: 'raw protocol, passed on unsplit', guarantee: 'in transactions' },
};

const PROGRAM = join(import.meta.dirname, 'floor-process.ts');
/** `poll.maxBytes`, which is above what so few shards get. */
const MOST_POLL_BYTES = 8_000_000;

/** Of uncompressed input. It writes to topics of its own. */
export async function floorContender(
  ground: Ground,
  prefix: string,
  { shards }: Case,
  form: FloorForm,
  input: { readonly topic: string; readonly records: number },
): Promise<Contender> {
  const { admin } = ground.kafka;
  const name = `${prefix}floor-${form}`;
  const outputs = Array.from({ length: shards }, (_, shard) => `${name}-${String(shard).padStart(4, '0')}`);
  const config = { 'max.message.bytes': '8388608' };
  await admin.createTopics(outputs.map((output) => ({ name: output, partitions: 1, config })));
  let starts = 0;
  return {
    ...FLOOR_FORMS[form],
    async start() {
      const options: FloorOptions = {
        ...{ form, brokers: ground.brokers, topic: input.topic, partitions: PARTITIONS, outputs },
        ...{ group: `${name}-${++starts}`, pollBytes: pollBytes(shards, MOST_POLL_BYTES) },
      };
      const child = fork(PROGRAM, [JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      endWithRun(child);
      await once(child, 'spawn');
      let done = 0;
      child.on('message', (message: FloorMessage) => {
        done = message.done;
      });
      return {
        pid: child.pid as number,
        assertRunning() {
          if (hasEnded(child)) throw new Error(`the floor (${form}) ended with ${child.exitCode ?? child.signalCode}`);
        },
        progress: async () => ({ done, isAll: done === input.records }),
        async stop() {
          if (hasEnded(child)) return;
          const ended = once(child, 'exit');
          child.kill('SIGTERM');
          await ended;
        },
      };
    },
    async written() {
      let records = 0;
      for (const output of outputs) records += await countRecords(ground.kafka, output);
      return { records, bytes: ground.storedBytes(outputs) };
    },
  };
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;
