/**
 * The folder that the embedded broker lives in:
 *   kafka/               Kafka's own data, of one cluster for ever
 *   logs/                what Kafka and its JVM say
 *   weir-embedded.json   which cluster, and which Kafka wrote it
 *   weir.lock            who runs it (see lock.ts)
 *   server.properties, log4j2.properties   written anew at each start
 */
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, realpath, rename, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { WeirError } from '../../errors.ts';
import { KAFKA_VERSION, type KafkaJars, weirCacheDir } from './jars.ts';
import { NODE_ID, properties } from './settings.ts';

export const kafkaLogDir = (dataDir: string) => join(dataDir, 'kafka');
export const logsDir = (dataDir: string) => join(dataDir, 'logs');

export const newTemporaryDataDir = async () => realpath(await mkdtemp(join(tmpdir(), 'weir-kafka-')));

/** Default: a folder of the user cache. */
export async function openDataDir(chosen: string | undefined): Promise<string> {
  const dataDir = resolve(chosen ?? join(weirCacheDir(), 'kafka-data'));
  try {
    await makeFolder(dataDir);
    return await realpath(dataDir);
  } catch (cause) {
    throw unusable(dataDir, cause);
  }
}

export const unusable = (dataDir: string, cause: unknown) =>
  new WeirError(
    'EMBEDDED_FAILED',
    `The embedded broker cannot keep its data in ${dataDir}: ${(cause as Error).message}. Choose another folder with kafka.embedded.dataDir (--data-dir).`,
    { cause },
  );

/** As mkdir does with `recursive`, which goes on for ever where a folder is there and takes none, such as /proc. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (await isFolder(path)) return;
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || (await isFolder(parent))) throw error;
    await makeFolder(parent);
    await makeFolder(path);
  }
}

const isFolder = (path: string) =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** Beside Kafka's data: what made it. */
interface Origin {
  readonly clusterId: string;
  /** The newest Kafka that has written here. */
  readonly kafkaVersion: string;
}

/** Makes a new cluster in an empty folder; in any other, assures that the data is of a cluster that was made here. */
export async function formatOnce(dataDir: string, jars: KafkaJars): Promise<void> {
  const logDir = kafkaLogDir(dataDir);
  const originFile = join(dataDir, 'weir-embedded.json');
  const found = await clusterIdIn(logDir);
  const foreign = await clusterIdIn(dataDir);
  const origin = await readIfThere(originFile).then((text) => (text ? (JSON.parse(text) as Origin) : undefined));
  const refuse = (why: string) =>
    new WeirError(
      'EMBEDDED_FAILED',
      `The embedded broker does not touch ${dataDir}: ${why}. Choose another folder with kafka.embedded.dataDir (--data-dir).`,
    );
  if (foreign !== undefined) throw refuse(`it holds the data of another Kafka (cluster ${foreign})`);
  if (found !== undefined && found !== origin?.clusterId) {
    throw refuse(`its data is of another Kafka (cluster ${found}; Weir's own is ${origin?.clusterId ?? 'not there'})`);
  }
  if (origin !== undefined && isNewer(origin.kafkaVersion, KAFKA_VERSION)) {
    throw refuse(
      `Kafka ${origin.kafkaVersion} wrote it, and this is ${KAFKA_VERSION}, which cannot read what is newer`,
    );
  }
  const clusterId = found ?? kafkaUuid();
  await writeWhole(originFile, JSON.stringify({ clusterId, kafkaVersion: KAFKA_VERSION } satisfies Origin));
  if (found !== undefined) return;
  await mkdir(logDir, { recursive: true });
  await copyFile(jars.bootstrapCheckpoint, join(logDir, 'bootstrap.checkpoint'));
  // Last, as it is what tells a formatted folder. Four lines, as `StorageTool format` writes them.
  await writeWhole(
    join(logDir, 'meta.properties'),
    properties({ version: '1', 'cluster.id': clusterId, 'node.id': String(NODE_ID), 'directory.id': kafkaUuid() }),
  );
}

async function clusterIdIn(folder: string): Promise<string | undefined> {
  const text = await readIfThere(join(folder, 'meta.properties'));
  return text === undefined ? undefined : (/^cluster\.id=(.+)$/m.exec(text)?.[1]?.trim() ?? 'without an id');
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}

/** 16 random bytes in URL-safe base64, as Kafka's Uuid; it takes none that begins with a dash. */
function kafkaUuid(): string {
  for (;;) {
    const id = randomBytes(16).toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}

function isNewer(a: string, b: string): boolean {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number)) as [number[], number[]];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}
