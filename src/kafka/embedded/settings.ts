/** What the embedded broker is configured with: one node, loopback only, small. */
import { join } from 'node:path';

const MiB = 1024 * 1024;

/** A further loopback listener of the embedded broker. Clients that come in by it are sent to `advertisedPort`. */
export interface ExtraListener {
  /** Upper case letters and digits, such as `PROXIED`. */
  readonly name: string;
  readonly listenPort: number;
  /** Where the broker says that it is, so that something (a fault proxy, say) can stand in front. */
  readonly advertisedPort: number;
  /** Default PLAINTEXT. What the others need (keys, JAAS) goes into `settings` as `listener.name.<name>.…`. */
  readonly protocol?: 'PLAINTEXT' | 'SSL' | 'SASL_PLAINTEXT' | 'SASL_SSL';
}

export interface BrokerSettings {
  readonly logDir: string;
  readonly port: number;
  readonly controllerPort: number;
  readonly extraListeners: readonly ExtraListener[];
  /** Win over everything here. */
  readonly overrides: Readonly<Record<string, string>>;
}

export const NODE_ID = 1;

export function serverProperties(broker: BrokerSettings): string {
  const listeners = [
    { name: 'PLAINTEXT', protocol: 'PLAINTEXT', listenPort: broker.port, advertisedPort: broker.port },
    ...broker.extraListeners,
  ];
  const at = (name: string, port: number) => `${name}://127.0.0.1:${port}`;
  return properties({
    'process.roles': 'broker,controller',
    'node.id': String(NODE_ID),
    // A static voter: its port may change from start to start, and formatting needs no Java (two seconds saved).
    'controller.quorum.voters': `${NODE_ID}@127.0.0.1:${broker.controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    listeners: [...listeners.map((l) => at(l.name, l.listenPort)), at('CONTROLLER', broker.controllerPort)].join(','),
    'advertised.listeners': listeners.map((l) => at(l.name, l.advertisedPort)).join(','),
    'listener.security.protocol.map': [
      ...listeners.map((l) => `${l.name}:${l.protocol ?? 'PLAINTEXT'}`),
      'CONTROLLER:PLAINTEXT',
    ].join(','),
    'log.dirs': broker.logDir,
    ...SMALL_AND_SAFE,
    ...broker.overrides,
  });
}

const SMALL_AND_SAFE: Readonly<Record<string, string>> = {
  'auto.create.topics.enable': 'false',
  'num.partitions': '1',
  'default.replication.factor': '1',
  // The topics that Kafka makes for itself: one broker holds the only replica, few partitions open fast.
  'offsets.topic.replication.factor': '1',
  'offsets.topic.num.partitions': '3',
  'offsets.topic.segment.bytes': String(4 * MiB),
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'transaction.state.log.num.partitions': '3',
  'transaction.state.log.segment.bytes': String(4 * MiB),
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'share.coordinator.state.topic.num.partitions': '1',
  // Nobody else will join: do not wait for them. A broker's default floor of 6 s for a session would slow fail-over.
  'group.initial.rebalance.delay.ms': '0',
  'group.min.session.timeout.ms': '2000',
  // After a kill the controller takes the broker for a second one of the same id, and refuses it, until the session of the
  // killed one has run out: 3 s instead of 9.
  'broker.session.timeout.ms': '3000',
  'broker.heartbeat.interval.ms': '500',
  // Topics may ask for records up to 64 MiB: their batch, and the request around it, must get through.
  'message.max.bytes': String(80 * MiB),
  'replica.fetch.max.bytes': String(80 * MiB),
  'socket.request.max.bytes': String(100 * MiB),
  'queued.max.request.bytes': String(128 * MiB),
  // All that is kept must stay below 2 GB: the default topology has 90 partitions, each at most retention + segment
  // = 20 MiB. (A batch must fit a segment: topics with larger records need a larger segment.bytes of their own.)
  'log.retention.bytes': String(8 * MiB),
  'log.segment.bytes': String(12 * MiB),
  'log.retention.check.interval.ms': '5000',
  'log.initial.task.delay.ms': '5000',
  'log.segment.delete.delay.ms': '1000',
  'log.index.size.max.bytes': String(1 * MiB),
  'metadata.log.segment.bytes': String(8 * MiB),
  'metadata.max.retention.bytes': String(16 * MiB),
  'log.cleaner.dedupe.buffer.size': String(4 * MiB),
  'num.network.threads': '2',
  'num.io.threads': '4',
  'background.threads': '2',
  'num.recovery.threads.per.data.dir': '2',
};

/** Kafka's own log goes to a file of at most two times 8 MB, never to the user's terminal. */
export function loggingProperties(logsDir: string): string {
  return properties({
    status: 'error',
    'appender.file.type': 'RollingFile',
    'appender.file.name': 'file',
    'appender.file.fileName': join(logsDir, BROKER_LOG),
    'appender.file.filePattern': join(logsDir, 'broker.%i.log'),
    'appender.file.layout.type': 'PatternLayout',
    'appender.file.layout.pattern': '%d{ISO8601} %p %m (%c{1})%n',
    'appender.file.policies.type': 'Policies',
    'appender.file.policies.bytes.type': 'SizeBasedTriggeringPolicy',
    'appender.file.policies.bytes.size': '8MB',
    'appender.file.strategy.type': 'DefaultRolloverStrategy',
    'appender.file.strategy.max': '1',
    'rootLogger.level': 'info',
    'rootLogger.appenderRef.file.ref': 'file',
  });
}

export const BROKER_LOG = 'broker.log';

/** A Java properties file: the backslash and what is not printable ASCII are escaped in values. */
export function properties(entries: Readonly<Record<string, string>>): string {
  const escaped = (value: string) =>
    value
      .replaceAll('\\', '\\\\')
      .replaceAll('\n', '\\n')
      .replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `${Object.entries(entries)
    .map(([key, value]) => `${key}=${escaped(value)}`)
    .join('\n')}\n`;
}
