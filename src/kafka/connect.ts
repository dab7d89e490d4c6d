/** Which Kafka a role works on: the user's brokers, an embedded one, or the in-process log. */
import type { Config } from '../config.ts';
import { WeirError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { KafkaPort } from './port.ts';

export interface OpenKafka {
  readonly port: KafkaPort;
  readonly kind: 'brokers' | 'embedded' | 'memory';
  /** For people and for `--kafka` of another command: HOST:PORT[,…]; `memory` for the in-process log. */
  readonly brokers: string;
  /** Whether it is Weir's own broker, started by this process or by another on this machine. */
  readonly embedded: boolean;
  /** The embedded broker ended without being asked to; never resolves for the others. */
  readonly lost: Promise<WeirError>;
  close(): Promise<void>;
}

/**
 * The Kafka that the settings name, started where it is an embedded one that does not run yet: a broker that another Weir
 * runs on the same data folder is used as it is. Throws EMBEDDED_UNAVAILABLE for `embedded` where it cannot run (`auto`
 * then takes the in-process log and says so), EMBEDDED_FAILED, and what the adapter throws for brokers that do not answer.
 * `onProgress` gets one line at each step that takes long; the signal ends a download.
 */
export async function openKafka(
  config: Config,
  log: Log,
  onProgress?: (text: string) => void,
  signal?: AbortSignal,
): Promise<OpenKafka> {
  const { brokers, embedded } = config.kafka;
  if (brokers === 'memory') return openMemory();
  if (brokers !== 'auto' && brokers !== 'embedded') {
    onProgress?.(`Connecting to Kafka at ${brokers}`);
    return openBrokers(config, log);
  }
  const { embeddedAvailability } = await import('./embedded.ts');
  const availability = await embeddedAvailability();
  if (availability.ok) {
    const { findRunningBroker } = await import('./embedded/running.ts');
    const running = await findRunningBroker(embedded.dataDir);
    if (running) onProgress?.(`Joining the embedded broker that another Weir runs at ${running.brokers}`);
    return running ? openRunning(running.brokers, config, log) : startAndOpen(config, log, onProgress, signal);
  }
  if (brokers === 'embedded')
    throw new WeirError(
      'EMBEDDED_UNAVAILABLE',
      `the embedded broker cannot run: ${availability.reason}. ${availability.remedy}`,
    );
  log.warn(
    `NOT KAFKA: the embedded broker cannot run (${availability.reason}), so all data lives in this process and ends with it. ${availability.remedy}`,
  );
  return openMemory();
}

/** For commands that look at an installation: never starts a broker. Throws KAFKA_UNREACHABLE where none runs. */
export async function openRunningKafka(config: Config, log: Log): Promise<OpenKafka> {
  const { brokers, embedded } = config.kafka;
  if (brokers === 'memory')
    throw new WeirError(
      'KAFKA_UNREACHABLE',
      `the in-process log can only be seen from the process that holds it; ask its API instead (http://127.0.0.1:${config.apiPort}/)`,
    );
  if (brokers !== 'auto' && brokers !== 'embedded') return openBrokers(config, log);
  const { findRunningBroker } = await import('./embedded/running.ts');
  const running = await findRunningBroker(embedded.dataDir);
  if (!running)
    throw new WeirError(
      'KAFKA_UNREACHABLE',
      'no embedded broker runs here; start one with `weir up`, or name your Kafka with --kafka HOST:PORT',
    );
  return openRunning(running.brokers, config, log);
}

async function openBrokers(config: Config, log: Log): Promise<OpenKafka> {
  const port = await connectBrokers(config.kafka, log);
  return {
    port,
    kind: 'brokers',
    brokers: config.kafka.brokers,
    embedded: false,
    lost: never(),
    close: () => port.close(),
  };
}

async function connectBrokers(config: Config['kafka'], log: Log): Promise<KafkaPort> {
  if (config.driver === 'librdkafka') return (await import('./librdkafka/index.ts')).connectLibrdkafka(config, log);
  return (await import('./kafkajs/connect.ts')).connectKafka(config, log);
}

/** An embedded broker's own listener speaks plain text, whatever the settings say of the user's brokers. */
async function openRunning(brokers: string, config: Config, log: Log): Promise<OpenKafka> {
  const { sasl: _, ...kafka } = config.kafka;
  const opened = await openBrokers({ ...config, kafka: { ...kafka, brokers, tls: { enabled: false } } }, log);
  return { ...opened, kind: 'embedded', embedded: true };
}

async function openMemory(): Promise<OpenKafka> {
  const { createMemoryKafka } = await import('./memory/index.ts');
  const port = createMemoryKafka().connect();
  return { port, kind: 'memory', brokers: 'memory', embedded: false, lost: never(), close: () => port.close() };
}

async function startAndOpen(
  config: Config,
  log: Log,
  onProgress?: (text: string) => void,
  signal?: AbortSignal,
): Promise<OpenKafka> {
  const { dataDir, port, heapMb } = config.kafka.embedded;
  const { startEmbedded } = await import('./embedded.ts');
  onProgress?.('Starting the embedded broker (Apache Kafka)');
  const broker = await startEmbedded({
    ...(dataDir && { dataDir }),
    port,
    heapMb,
    ...(onProgress && { onProgress }),
    ...(signal && { signal }),
  });
  try {
    const opened = await openRunning(broker.brokers, config, log);
    let closing = false;
    const lost = broker.exited.then(({ code, signal }) => {
      if (closing) return never();
      const how = signal ? `by signal ${signal}` : `with exit code ${code}`;
      return new WeirError(
        'EMBEDDED_FAILED',
        `the embedded broker ended ${how}; start again, its data is kept in ${broker.dataDir}`,
      );
    });
    const close = async () => {
      closing = true;
      await opened.close();
      await broker.stop();
    };
    return { ...opened, lost, close };
  } catch (error) {
    await broker.stop();
    throw error;
  }
}

const never = () => new Promise<never>(() => {});
