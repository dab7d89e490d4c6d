/**
 * Real Apache Kafka (KRaft, one node, loopback only) as a child of this process, for `npm start` and the tests. It never
 * outlives its parent: a guard ends it when the parent is gone, however it went; the next start ends what a guard missed.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WeirError } from '../errors.ts';
import { formatOnce, kafkaLogDir, logsDir, newTemporaryDataDir, openDataDir } from './embedded/folder.ts';
import { type BrokerExit, spawnGuarded } from './embedded/guard.ts';
import { exists, KAFKA_VERSION, type KafkaJars, kafkaJars } from './embedded/jars.ts';
import { brokerConfigFile, type DataDirLock, identify, isAlive, killIfThere, lockDataDir } from './embedded/lock.ts';
import { assertFree, freePort } from './embedded/ports.ts';
import { brokerReady } from './embedded/ready.ts';
import { BROKER_LOG, type ExtraListener, loggingProperties, serverProperties } from './embedded/settings.ts';

export type { BrokerExit } from './embedded/guard.ts';
export { type EmbeddedAvailability, embeddedAvailability, KAFKA_VERSION } from './embedded/jars.ts';
export { freePort } from './embedded/ports.ts';
export type { ExtraListener } from './embedded/settings.ts';

export interface EmbeddedOptions {
  /** Kept between starts. Default: `kafka-data` in Weir's folder of the user cache. */
  readonly dataDir?: string;
  /** 0 (default) picks a free one. */
  readonly port?: number;
  /** Default 512. */
  readonly heapMb?: number;
  /** Broker settings that win over Weir's own. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly extraListeners?: readonly ExtraListener[];
  /** One line for the user at each step that takes long. */
  readonly onProgress?: (text: string) => void;
  /** Ends a download of the jars, with an error. */
  readonly signal?: AbortSignal;
  /** Data in a new temporary folder, deleted when the broker ends, also when this process is killed. Without `dataDir`. */
  readonly ephemeral?: boolean;
}

export interface EmbeddedBroker {
  /** `127.0.0.1:PORT` */
  readonly brokers: string;
  readonly port: number;
  readonly dataDir: string;
  /** Of the JVM. */
  readonly pid: number;
  /** Resolves when the broker has ended, asked to or not, and its folder is free again. */
  readonly exited: Promise<BrokerExit>;
  /** Orderly: all data flushed, a quick start next time. */
  stop(): Promise<void>;
  /** SIGKILL, for tests. `startEmbedded` with the same `dataDir` and `port` brings it back with its data. */
  kill(): Promise<void>;
}

const READY_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 15_000;
/** Another process may take a port between our picking it and Kafka's binding it. */
const PORT_ATTEMPTS = 4;

/** Throws WeirError EMBEDDED_UNAVAILABLE (no Java, no jars), EMBEDDED_FAILED, PORT_TAKEN. */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedBroker> {
  const onProgress = options.onProgress ?? (() => {});
  const jars = await kafkaJars(onProgress, options.signal);
  if (options.ephemeral && options.dataDir !== undefined) {
    throw new TypeError('an ephemeral broker chooses its own dataDir');
  }
  const dataDir = options.ephemeral ? await newTemporaryDataDir() : await openDataDir(options.dataDir);
  const lock = await lockDataDir(dataDir);
  try {
    await formatOnce(dataDir, jars);
    if (options.port) await assertFree(options.port);
    for (let attempt = 1; ; attempt++) {
      const started = await launch(options, jars, dataDir, lock);
      if ('broker' in started) return started.broker;
      if (!started.portTaken || attempt === PORT_ATTEMPTS) throw started.error;
    }
  } catch (error) {
    await lock.release();
    if (options.ephemeral) await rm(dataDir, { recursive: true, force: true });
    throw error;
  }
}

type Launched =
  | { readonly broker: EmbeddedBroker }
  | { readonly error: WeirError /** Worth another try, with other ports. */; readonly portTaken: boolean };

async function launch(
  options: EmbeddedOptions,
  jars: KafkaJars,
  dataDir: string,
  lock: DataDirLock,
): Promise<Launched> {
  const port = options.port || (await freePort());
  const logs = logsDir(dataDir);
  await mkdir(logs, { recursive: true });
  await writeFile(
    brokerConfigFile(dataDir),
    serverProperties({
      logDir: kafkaLogDir(dataDir),
      port,
      controllerPort: await freePort([port]),
      extraListeners: options.extraListeners ?? [],
      overrides: options.settings ?? {},
    }),
  );
  const logging = join(dataDir, 'log4j2.properties');
  await writeFile(logging, loggingProperties(logs));
  await rm(join(logs, BROKER_LOG), { force: true });

  const archive = classArchive(jars);
  const java = [
    jars.java,
    `-Xmx${options.heapMb ?? 512}m`,
    '-XX:+UseSerialGC',
    '-XX:+ExitOnOutOfMemoryError',
    '-Djava.awt.headless=true',
    ...archive.flags,
    `-Dlog4j2.configurationFile=${logging}`,
    '-cp',
    jars.classPath,
    'kafka.Kafka',
    brokerConfigFile(dataDir),
  ];
  const guarded = await spawnGuarded(java, join(logs, 'jvm.log'), options.ephemeral ? dataDir : '');
  const identity = await identify(guarded.pid);
  if (identity !== undefined) await lock.nameBroker(identity);

  const end = async () => {
    // The guard's shell was killed alone: its JVM still runs.
    if (identity !== undefined && (await isAlive(identity))) {
      killIfThere(identity.pid, 'SIGKILL');
      while (await isAlive(identity)) await delay(20);
    }
  };
  const failed = new AbortController();
  const ended = guarded.exit.then(async (exit) => {
    failed.abort();
    await end();
    await archive.settle(exit).catch((error: Error) => options.onProgress?.(`No class data archive: ${error.message}`));
    return exit;
  });

  const tooLate = AbortSignal.timeout(READY_WITHIN_MS);
  try {
    await brokerReady(port, AbortSignal.any([failed.signal, tooLate]));
  } catch {
    // Only ever because it was aborted: by the end of the broker, or by the time.
    killIfThere(guarded.pid, 'SIGKILL');
    await ended;
    const said = await lastLines(logs);
    const why = tooLate.aborted ? `was not ready within ${READY_WITHIN_MS / 1_000} s` : 'ended while starting';
    const error = new WeirError(
      'EMBEDDED_FAILED',
      `The embedded broker (Apache Kafka ${KAFKA_VERSION}, data in ${dataDir}) ${why}. Its log (${logs}) ends with:\n${said}`,
    );
    return { error, portTaken: !tooLate.aborted && /Address already in use|BindException/.test(said) };
  }

  const exited = ended.then(async (exit) => {
    await lock.release();
    if (options.ephemeral) await rm(dataDir, { recursive: true, force: true });
    return exit;
  });
  const endBy = async (signal: NodeJS.Signals) => {
    guarded.keepAlive();
    killIfThere(guarded.pid, signal);
    const ending = new AbortController();
    const late = delay(STOP_WITHIN_MS, undefined, { signal: ending.signal, ref: true }).then(
      () => killIfThere(guarded.pid, 'SIGKILL'),
      () => {},
    );
    await exited;
    ending.abort();
    await late;
  };
  let over = false;
  exited.then(() => {
    over = true;
  });
  const broker: EmbeddedBroker = {
    brokers: `127.0.0.1:${port}`,
    port,
    dataDir,
    pid: guarded.pid,
    exited,
    stop: async () => (over ? undefined : endBy('SIGTERM')),
    kill: async () => (over ? undefined : endBy('SIGKILL')),
  };
  return { broker };
}

/** With the archive where there is one; else this run writes it when it ends in order (3 s, once). */
function classArchive(jars: KafkaJars): { flags: string[]; settle(exit: BrokerExit): Promise<void> } {
  const quiet = ['-Xlog:disable', '-Xlog:all=error:stderr'];
  if (jars.hasClassArchive) {
    // One made by another Java does not fit: the JVM then starts without.
    return {
      flags: [...quiet, '-Xshare:auto', `-XX:SharedArchiveFile=${jars.classArchive}`],
      settle: async () => {},
    };
  }
  const fresh = `${jars.classArchive}.${randomBytes(6).toString('hex')}`;
  return {
    flags: [...quiet, `-XX:ArchiveClassesAtExit=${fresh}`],
    async settle(exit) {
      // Only an orderly end has written all of it.
      if (exit.signal === 'SIGTERM' && (await exists(fresh))) await rename(fresh, jars.classArchive);
      else await rm(fresh, { force: true });
    },
  };
}

/** What the broker said last: of its own log, and of the JVM (which speaks when it cannot even start). */
async function lastLines(logs: string): Promise<string> {
  const ends = await Promise.all([BROKER_LOG, 'jvm.log'].map((name) => tail(join(logs, name), 16_384)));
  const lines = ends.join('\n').split('\n');
  // Stack frames tell a user nothing.
  return lines
    .filter((line) => line.trim() !== '' && !/^\s+at |^\s*\.\.\. \d+ more/.test(line))
    .slice(-12)
    .join('\n');
}

async function tail(file: string, bytes: number): Promise<string> {
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return '';
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - bytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - from), 0, size - from, from);
    return buffer.subarray(0, bytesRead).toString();
  } finally {
    await handle.close();
  }
}
