/**
 * What the embedded broker needs beside Weir: a Java and Apache Kafka's jars. The jars are fetched once, by Maven, into
 * a cache outside the checkout; with them go what a first format writes and a class data archive, which take 2 CPU-seconds
 * off each start (measured: 3.1 -> 2.0 CPU-s, 2.0 -> 1.2 s).
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, copyFile, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { WeirError } from '../../errors.ts';
import { properties, serverProperties } from './settings.ts';

const run = promisify(execFile);

export const KAFKA_VERSION = '4.1.1';
const JAVA_AT_LEAST = 17;

export type EmbeddedAvailability =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: string; readonly remedy: string };

export interface KafkaJars {
  /** Path of the java to run. */
  readonly java: string;
  /** Class path, in an order that is always the same: the class data archive is only good for that. */
  readonly classPath: string;
  /** What `StorageTool format` writes beside meta.properties: the features that a new cluster begins with. */
  readonly bootstrapCheckpoint: string;
  /** Where the class data archive is, or is to be; the JVM goes without where it is missing or does not fit. */
  readonly classArchive: string;
  readonly hasClassArchive: boolean;
}

export async function embeddedAvailability(): Promise<EmbeddedAvailability> {
  const found = await findTools();
  return 'reason' in found ? { ok: false, reason: found.reason, remedy: found.remedy } : { ok: true };
}

/** The jars from the cache; where they are missing, fetched first (about 10 s, 45 MB). */
export async function kafkaJars(onProgress: (text: string) => void, signal?: AbortSignal): Promise<KafkaJars> {
  const tools = await findTools();
  if ('reason' in tools) {
    throw new WeirError('EMBEDDED_UNAVAILABLE', `The embedded broker cannot run: ${tools.reason}. ${tools.remedy}`);
  }
  const cache = kafkaCacheDir();
  if (!(await exists(join(cache, 'libs')))) {
    // findTools looked for Maven when it saw no jars; they can only be missing here if the cache was emptied since.
    await fetchJars(cache, tools.java, tools.maven ?? 'mvn', onProgress, signal);
  }
  const classArchive = join(cache, 'classes.jsa');
  return {
    java: tools.java,
    classPath: await classPathOf(join(cache, 'libs')),
    bootstrapCheckpoint: join(cache, 'bootstrap.checkpoint'),
    classArchive,
    hasClassArchive: await exists(classArchive),
  };
}

/** `WEIR_CACHE_DIR`, else the user's cache folder. */
export function weirCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.WEIR_CACHE_DIR) return env.WEIR_CACHE_DIR;
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weir');
}

const kafkaCacheDir = () => join(weirCacheDir(), `kafka-${KAFKA_VERSION}`);

type Tools =
  | { readonly java: string; readonly maven: string | undefined }
  | { readonly reason: string; readonly remedy: string };

async function findTools(): Promise<Tools> {
  const otherwise = 'or run on your own Kafka with --kafka HOST:PORT, or without one with --kafka memory.';
  if (process.platform === 'win32') {
    return {
      reason: 'Apache Kafka does not run reliably on Windows',
      remedy: `Run Weir in WSL, ${otherwise}`,
    };
  }
  const javaHome = process.env.JAVA_HOME;
  const java = javaHome ? join(javaHome, 'bin', 'java') : await findOnPath('java');
  const version = java === undefined ? undefined : await javaVersion(java);
  if (java === undefined || version === undefined) {
    return {
      reason: javaHome ? `there is no Java in JAVA_HOME (${javaHome})` : 'there is no Java on the PATH',
      remedy: `Install Java ${JAVA_AT_LEAST} or later, ${otherwise}`,
    };
  }
  if (version < JAVA_AT_LEAST) {
    return {
      reason: `${java} is Java ${version}, and Apache Kafka ${KAFKA_VERSION} needs ${JAVA_AT_LEAST}`,
      remedy: `Install Java ${JAVA_AT_LEAST} or later, ${otherwise}`,
    };
  }
  const maven = await findOnPath('mvn');
  if (maven === undefined && !(await exists(join(kafkaCacheDir(), 'libs')))) {
    return {
      reason: `Apache Kafka ${KAFKA_VERSION} is not in the cache (${kafkaCacheDir()}), and there is no Maven (mvn) on the PATH to fetch it`,
      remedy: `Install Maven, ${otherwise}`,
    };
  }
  return { java, maven };
}

/** Major version, undefined if it does not run. `java -version` prints `openjdk version "17.0.15"`; Java 8: `"1.8.0_402"`. */
async function javaVersion(java: string): Promise<number | undefined> {
  try {
    const { stdout, stderr } = await run(java, ['-version']);
    const match = /version "(?:1\.)?(\d+)/.exec(stderr + stdout);
    return match ? Number(match[1]) : undefined;
  } catch {
    // Not executable, or macOS's stub that only says where to get a Java: there is no Java.
    return undefined;
  }
}

async function fetchJars(
  cache: string,
  java: string,
  maven: string,
  onProgress: (text: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  onProgress(`Fetching Apache Kafka ${KAFKA_VERSION} with Maven (45 MB, once)`);
  await mkdir(dirname(cache), { recursive: true });
  // Complete under another name first: an aborted download is never taken for the whole, and two starts do not collide.
  const fresh = await mkdtemp(`${cache}.`);
  try {
    await writeFile(join(fresh, 'pom.xml'), POM);
    const libs = join(fresh, 'libs');
    const goal = 'dependency:copy-dependencies';
    await run(maven, ['-q', '-B', '-Dstyle.color=never', goal, '-DincludeScope=runtime', `-DoutputDirectory=${libs}`], {
      cwd: fresh,
      ...(signal && { signal }),
      maxBuffer: 64 * 1024 * 1024,
    }).catch((cause) => {
      throw mavenFailed(cause);
    });
    await writeBootstrapCheckpoint(fresh, java);
    await rename(fresh, cache).catch(async (cause) => {
      // ENOTEMPTY, EEXIST: another start was faster; what it fetched is the same.
      if (!(await exists(join(cache, 'libs')))) throw cause;
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

function mavenFailed(cause: Error & { stdout?: string; stderr?: string }): WeirError {
  const lines = `${cause.stdout ?? ''}\n${cause.stderr ?? ''}`.split('\n');
  const said = lines.find((line) => line.includes('ERROR'))?.replace(/^.*ERROR\S*\s*/, '') ?? cause.message;
  return new WeirError(
    'EMBEDDED_UNAVAILABLE',
    `Fetching Apache Kafka ${KAFKA_VERSION} with Maven failed: ${said.slice(0, 500).trim()} ` +
      'Check that Maven reaches its repository, or run on your own Kafka with --kafka HOST:PORT.',
    { cause },
  );
}

/** Formats a folder that nobody needs: the checkpoint names features only, no cluster, and is good for every new one. */
async function writeBootstrapCheckpoint(fresh: string, java: string): Promise<void> {
  const logDir = join(fresh, 'formatted');
  const config = join(fresh, 'format.properties');
  await writeFile(
    config,
    serverProperties({ logDir, port: 19_092, controllerPort: 19_093, extraListeners: [], overrides: {} }),
  );
  const quiet = join(fresh, 'format-log4j2.properties');
  await writeFile(quiet, properties({ 'rootLogger.level': 'off' }));
  const classPath = await classPathOf(join(fresh, 'libs'));
  const format = ['kafka.tools.StorageTool', 'format', '-t', 'AAAAAAAAQ6aAAAAAAAAAAA', '-c', config];
  await run(java, ['-cp', classPath, `-Dlog4j2.configurationFile=${quiet}`, ...format]);
  await copyFile(join(logDir, 'bootstrap.checkpoint'), join(fresh, 'bootstrap.checkpoint'));
  await rm(logDir, { recursive: true });
  await rm(config);
  await rm(quiet);
}

async function classPathOf(libs: string): Promise<string> {
  const jars = (await readdir(libs)).filter((name) => name.endsWith('.jar')).sort();
  return jars.map((name) => join(libs, name)).join(delimiter);
}

async function findOnPath(command: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, command);
    if (folder !== '' && (await exists(path, constants.X_OK))) return path;
  }
  return undefined;
}

export const exists = (path: string, mode?: number) =>
  access(path, mode).then(
    () => true,
    () => false,
  );

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>weir</groupId>
  <artifactId>embedded-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>${KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
`;
