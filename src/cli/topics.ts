/** `weir topics`: for those who create topics by hand, or once with credentials that Weir itself does not get. */
import type { Config } from '../config.ts';
import { openRunningKafka } from '../kafka/connect.ts';
import type { Log } from '../log.ts';
import { namesFor } from '../names.ts';
import { SIGNALS } from '../signals.ts';
import { ensureTopics } from '../topics/ensure-topics.ts';
import { topicCommands } from '../topics/topic-commands.ts';
import { planTopics } from '../topics/topic-plan.ts';
import { table } from './table.ts';

interface TopicsCommand {
  readonly config: Config;
  readonly stdout: { write(text: string): unknown };
  readonly json: boolean;
}

/** Asks no broker: a replication factor that the settings do not name is that of three brokers. */
export function printTopics({ config, stdout, json }: TopicsCommand): void {
  const { topics } = planTopics({ config, names: namesFor(config.prefix), brokers: 3 });
  if (json) {
    stdout.write(`${JSON.stringify(topics, null, 2)}\n`);
    return;
  }
  if (config.topics.replicas === undefined)
    stdout.write(
      '# Three replicas, for three brokers or more; WEIR_TOPICS_REPLICAS=1 or topics.replicas for others.\n',
    );
  const { brokers } = config.kafka;
  stdout.write(topicCommands(topics, brokers.includes(':') ? brokers : 'localhost:9092'));
}

/** Creates what is missing, checks all, and writes ring epoch 1 where there is none. */
export async function createTopics({
  config,
  log,
  stdout,
  json,
}: TopicsCommand & { readonly log: Log }): Promise<void> {
  const { ensureFirstRing } = await import('../coordination/ensure-first-ring.ts');
  const { createReferenceRing } = await import('../kernels/ring/reference.ts');
  const { createReferenceHash } = await import('../kernels/hash/reference.ts');
  const names = namesFor(config.prefix);
  const kafka = await openRunningKafka(config, log);
  try {
    // Asked for by name, so `topics.create: false` does not hold it back.
    const facts = await ensureTopics(kafka.port.admin, { config, names, embedded: kafka.embedded, create: true });
    for (const note of facts.notes) log.warn(note);
    const kernels = { ring: createReferenceRing(), hash: createReferenceHash() };
    const ring = await ensureFirstRing(kafka.port, names, config, kernels);
    if (json) {
      stdout.write(
        `${JSON.stringify({ created: facts.created, ringEpoch: ring.ring.epoch, ringWritten: ring.kind === 'written' })}\n`,
      );
      return;
    }
    const made = facts.created.length;
    stdout.write(made === 0 ? 'All topics are there.\n' : `Created ${made} ${made === 1 ? 'topic' : 'topics'}.\n`);
    stdout.write(`Ring epoch ${ring.ring.epoch} ${ring.kind === 'written' ? 'written' : 'was there already'}.\n`);
    stdout.write(
      table(
        SIGNALS.map((signal) => {
          const { topic, partitions, maxMessageBytes } = facts.ingest[signal];
          const { key, shards } = ring.ring.signals[signal];
          return [topic, `${partitions} partitions`, `<= ${maxMessageBytes} B`, `by ${key}`, `${shards.length} shards`];
        }),
      ),
    );
  } finally {
    await kafka.close();
  }
}
