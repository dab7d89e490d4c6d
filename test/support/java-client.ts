/** Apache Kafka's own producer and consumer (`JavaClient.java`), from the jars of the embedded broker. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { kafkaJars } from '../../src/kafka/embedded/jars.ts';

const SOURCE = join(import.meta.dirname, 'JavaClient.java');

/** Each record becomes a batch of its own, compressed so. */
export async function javaProduce(
  brokers: string,
  records: ReadonlyArray<{ topic: string; partition: number; codec: string; value: Uint8Array }>,
): Promise<void> {
  const lines = records.map(
    ({ topic, partition, codec, value }) => `${topic} ${partition} ${codec} ${Buffer.from(value).toString('base64')}\n`,
  );
  await runJava(['produce', brokers], lines.join(''));
}

/** All values of partition 0 of each topic, read_committed. */
export async function javaConsume(brokers: string, topics: readonly string[]): Promise<Map<string, Buffer[]>> {
  const values = new Map<string, Buffer[]>(topics.map((topic) => [topic, []]));
  for (const line of (await runJava(['consume', brokers, ...topics], '')).split('\n')) {
    const [topic, , value] = line.split(' ');
    if (topic && value !== undefined) values.get(topic)?.push(Buffer.from(value, 'base64'));
  }
  return values;
}

async function runJava(args: readonly string[], input: string): Promise<string> {
  const { java, classPath } = await kafkaJars(() => undefined);
  const child = spawn(java, ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-cp', classPath, SOURCE, ...args]);
  let [output, said] = ['', ''];
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${SOURCE} ended with ${code}:\n${said}`);
  return output;
}
