/** For those who create topics by hand. */
import type { TopicSpec } from '../kafka/port.ts';

/** Commands for a shell, ready to paste. */
export function topicCommands(topics: readonly TopicSpec[], brokers: string): string {
  const lines = topics.map(({ name, partitions, replicas, config }) => {
    const settings = Object.entries(config).map(([key, value]) => ` --config ${key}=${value}`);
    return `$create --topic ${name} --partitions ${partitions}${replicas ? ` --replication-factor ${replicas}` : ''}${settings.join('')}`;
  });
  return [
    `# Add --command-config FILE to the next line where the brokers ask for TLS or a log-in.`,
    `create="kafka-topics.sh --bootstrap-server ${brokers} --create --if-not-exists"`,
    ...lines,
    '',
  ].join('\n');
}
