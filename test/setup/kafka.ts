/**
 * One real Kafka for the whole test run, in a temporary folder that goes with it. Tests reach it by
 * `test/support/real-kafka.ts`.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { TestProject } from 'vitest/node';
import { embeddedAvailability, freePort, startEmbedded } from '../../src/kafka/embedded.ts';
import type { ProvidedKafka } from '../support/real-kafka.ts';

const MiB = 1024 * 1024;

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const skip = (reason: string) => project.provide('kafka', { reason } satisfies ProvidedKafka);
  if (process.env.WEIR_TEST_NO_KAFKA === '1') {
    skip('WEIR_TEST_NO_KAFKA=1 is set');
    return;
  }
  const { testFiles } = await project.globTestFiles(project.vitest.config.filters);
  if (!(await anyNeedsKafka(testFiles))) {
    skip('no test file of this run asks for it');
    return;
  }
  const available = await embeddedAvailability();
  if (!available.ok) {
    skip(`${available.reason}. ${available.remedy}`);
    return;
  }
  const listenPort = await freePort();
  const advertisedPort = await freePort([listenPort]);
  const broker = await startEmbedded({
    ephemeral: true,
    extraListeners: [{ name: 'PROXIED', listenPort, advertisedPort }],
    // Nothing is thrown away while a test still reads it (tests delete their topics), and a batch of 64 MiB fits.
    settings: { 'log.retention.bytes': '-1', 'log.segment.bytes': String(128 * MiB) },
    onProgress: (text) => process.stderr.write(`${text}\n`),
  });
  project.provide('kafka', {
    brokers: broker.brokers,
    proxied: { listenPort, advertisedPort },
  } satisfies ProvidedKafka);
  return () => broker.stop();
}

/** Whether one of the files, or what it imports under test/, mentions the module that hands out the broker. */
async function anyNeedsKafka(files: readonly string[]): Promise<boolean> {
  const seen = new Set<string>();
  const pending = [...files];
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    const text = await readFile(file, 'utf8').catch(() => '');
    if (/real-kafka\.ts'|inject\('kafka'\)/.test(text)) return true;
    for (const [, path] of text.matchAll(/(?:from|import\()\s*'(\.{1,2}\/[^']+)'/g)) {
      const imported = resolve(dirname(file), path!);
      if (imported.includes('/test/')) pending.push(imported);
    }
  }
  return false;
}
