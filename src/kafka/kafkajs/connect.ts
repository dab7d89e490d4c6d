/** The Kafka port on Apache Kafka, through kafkajs's connections and request definitions. */
import type { Logger } from 'pino';
import type { Config } from '../../config.ts';
import { WeirError } from '../../errors.ts';
import { lastingTrouble } from '../../lasting-trouble.ts';
import type { FetchOptions, KafkaPort, TopicPartition } from '../port.ts';
import { KafkaAdmin } from './admin.ts';
import { ClusterView } from './cluster.ts';
import { requireCompression } from './compression.ts';
import { brokerAddresses, linkSettings } from './connection.ts';
import type { ReaderSource, RecordDriver } from './driver.ts';
import { Fetcher } from './fetcher.ts';
import { confirmTenure } from './group-session.ts';
import { type ApiVersions, requestOf } from './internals.ts';
import type { BrokerAddress, Link } from './link.ts';
import { Links } from './links.ts';
import { Membership } from './membership.ts';
import { asError, ConnectionFault } from './outcomes.ts';
import { openProducer } from './producer.ts';
import { retry, sparsely } from './retry.ts';
import { openSink } from './sink.ts';

const TROUBLE_INTERVAL_MS = 5_000;
const END_TXN = 26;
const END_TXN_SINCE_4_0 = 5;
const OPEN_SINK_TIMEOUT_FACTOR = 2;

/**
 * Connects and checks that a broker answers, takes the credentials and is new enough. Throws WeirError KAFKA_UNREACHABLE,
 * KAFKA_AUTH, KAFKA_VERSION or CONFIG_INVALID.
 */
export async function connectKafka(config: Config['kafka'], log: Logger, driver?: RecordDriver): Promise<KafkaPort> {
  requireCompression(config.compression);
  const seeds = brokerAddresses(config.brokers);
  const settings = await linkSettings(config, log);
  const links = new Links(settings);
  try {
    const cluster = new ClusterView(links, seeds);
    await firstContact(config, seeds, cluster);
    return new KafkajsPort(config, log, { cluster, links, openLinks: () => new Links(settings), driver });
  } catch (error) {
    links.destroy();
    throw error;
  }
}

async function firstContact(config: Config['kafka'], seeds: readonly BrokerAddress[], cluster: ClusterView) {
  let link: Link;
  try {
    link = await retry(
      async () => {
        const answering = await cluster.anyLink();
        // A broker that wants credentials and got none takes ApiVersions and hangs up at anything else.
        await answering.request(requestOf('Metadata', { topics: [''], allowAutoTopicCreation: false }));
        return answering;
      },
      {
        deadline: performance.now() + config.connectTimeoutMs,
        firstStepMs: 50,
        maxStepMs: 250,
        again: (error) => error instanceof ConnectionFault,
      },
    );
  } catch (error) {
    if (!(error instanceof ConnectionFault)) throw error;
    const names = seeds.map(({ host, port }) => `${host}:${port}`).join(', ');
    // It has told its versions, and hangs up at the request after that.
    if (!config.sasl && error.sent && error.cause instanceof ConnectionFault) {
      throw new WeirError(
        'KAFKA_AUTH',
        `Kafka at ${names} hangs up at the first request, as a listener does that wants SASL (${error.message}). ` +
          'Set kafka.sasl, or name a listener without SASL in kafka.brokers (--kafka).',
        { cause: error },
      );
    }
    throw new WeirError(
      'KAFKA_UNREACHABLE',
      `no Kafka broker of ${names} answers within ${config.connectTimeoutMs} ms (${error.message}). ` +
        `Check that it runs and that kafka.brokers (--kafka) names it${hint(config, error)}.`,
      { cause: error },
    );
  }
  checkVersion(link);
}

/** Where something listens and hangs up at once: it may be waiting for another way to be spoken to. */
function hint(config: Config['kafka'], error: ConnectionFault): string {
  const { name, code } = (error.cause ?? {}) as { name?: string; code?: string };
  const hungUp = name === 'KafkaJSConnectionClosedError' || code === 'ECONNRESET';
  if (!hungUp) return '';
  return `, and whether it expects ${config.tls.enabled ? 'no TLS' : 'TLS'} (kafka.tls.enabled)`;
}

/** EndTxn 5 came with Kafka 4.0 (KIP-890). */
function checkVersion(link: Link): void {
  const versions: ApiVersions = link.versions;
  if ((versions[END_TXN]?.maxVersion ?? 0) >= END_TXN_SINCE_4_0) return;
  const { host, port } = link.address;
  throw new WeirError(
    'KAFKA_VERSION',
    `broker ${host}:${port} is older than Kafka 4.0, which shows offsets of transactions too late to be exact. Upgrade it to 4.0 or later.`,
  );
}

class KafkajsPort implements KafkaPort {
  readonly description: string;
  readonly admin: KafkaAdmin;
  readonly #config: Config['kafka'];
  readonly #log: Logger;
  readonly #cluster: ClusterView;
  readonly #links: Links;
  readonly #openLinks: () => Links;
  readonly #driver: RecordDriver | undefined;
  readonly #readers = new Map<string, ReaderSource>();
  readonly #members = new Set<Membership>();
  readonly #closers = new Set<{ close(): Promise<void> }>();
  #closed: Promise<void> | undefined;

  constructor(
    config: Config['kafka'],
    log: Logger,
    parts: { cluster: ClusterView; links: Links; openLinks: () => Links; driver: RecordDriver | undefined },
  ) {
    const { cluster, links } = parts;
    this.#config = config;
    this.#log = log;
    this.#cluster = cluster;
    this.#links = links;
    this.#openLinks = parts.openLinks;
    this.#driver = parts.driver;
    this.description = `Apache Kafka at ${config.brokers}`;
    this.admin = new KafkaAdmin({
      cluster,
      links,
      description: this.description,
      requestTimeoutMs: config.requestTimeoutMs,
    });
  }

  joinGroup(...[options, handlers]: Parameters<KafkaPort['joinGroup']>): Membership {
    const member = new Membership(options, handlers, {
      cluster: this.#cluster,
      links: this.#links,
      openLinks: this.#openLinks,
      driver: this.#driver,
      requestTimeoutMs: this.#config.requestTimeoutMs,
      log: this.#log,
    });
    this.#members.add(member);
    const forget = () => this.#members.delete(member);
    member.done.then(forget, forget);
    return member;
  }

  reader(at: TopicPartition, options: FetchOptions = {}) {
    const isolation = options.isolation ?? 'read_committed';
    let source = this.#readers.get(isolation);
    if (!source) {
      const onTrouble = sparsely(TROUBLE_INTERVAL_MS, lastingTrouble(this.#log, 'cannot read from Kafka, trying on'));
      const fetcher = new Fetcher({
        cluster: this.#cluster,
        links: this.#links,
        openLinks: this.#openLinks,
        isolation,
        onTrouble,
      });
      source = this.#driver?.readers(fetcher, { onTrouble }) ?? fetcher;
      this.#readers.set(isolation, source);
    }
    const reader = source.reader(at, options);
    return Object.assign(reader, { close: async () => reader.end() });
  }

  async openSink(...[options]: Parameters<KafkaPort['openSink']>) {
    if (this.#driver) {
      const parts = { cluster: this.#cluster, links: this.#links };
      const { groupId, tenure } = options;
      const confirm = async (withinMs: number) => tenure && confirmTenure(parts, groupId, tenure, withinMs);
      return this.#closing(await this.#driver.openSink(options, confirm));
    }
    return this.#closing(
      await openSink(options, {
        cluster: this.#cluster,
        links: this.#links,
        compression: this.#config.compression,
        requestTimeoutMs: this.#config.requestTimeoutMs,
        openTimeoutMs: this.#config.requestTimeoutMs * OPEN_SINK_TIMEOUT_FACTOR,
      }),
    );
  }

  async producer(options: { deliveryTimeoutMs?: number } = {}) {
    return this.#closing(
      await openProducer(options, {
        cluster: this.#cluster,
        links: this.#links,
        compression: this.#config.compression,
        requestTimeoutMs: this.#config.requestTimeoutMs,
        log: this.#log,
      }),
    );
  }

  /** Members leave, producers finish, then the connections end. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      const members = await Promise.allSettled([...this.#members].map((member) => member.close()));
      for (const readers of this.#readers.values()) readers.close();
      await Promise.all([...this.#closers].map((closer) => closer.close()));
      await this.#driver?.close();
      await this.#links.close();
      for (const member of members) {
        if (member.status === 'rejected') this.#log.debug({ err: asError(member.reason) }, 'a group member had failed');
      }
    })();
    return this.#closed;
  }

  /** Closed with the port, unless before. */
  #closing<T extends { close(): Promise<void> }>(closer: T): T {
    this.#closers.add(closer);
    const close = closer.close.bind(closer);
    closer.close = async () => {
      this.#closers.delete(closer);
      await close();
    };
    return closer;
  }
}
