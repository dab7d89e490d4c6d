/** Finds the embedded broker that another Weir on this machine runs, so that commands and further roles work on it too. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDataDir } from './folder.ts';
import { brokerConfigFile, isAlive, type ProcessIdentity } from './lock.ts';

export interface RunningBroker {
  /** HOST:PORT */
  readonly brokers: string;
  readonly dataDir: string;
}

/** undefined: none runs on that folder. `chosen` as in kafka.embedded.dataDir. */
export async function findRunningBroker(chosen: string | undefined): Promise<RunningBroker | undefined> {
  const dataDir = await openDataDir(chosen);
  const [lock, settings] = await Promise.all([
    readIfThere(join(dataDir, 'weir.lock')),
    readIfThere(brokerConfigFile(dataDir)),
  ]);
  const broker = brokerOf(lock);
  // The lock names its broker after the settings were written: a port of an earlier start is never taken for this one's.
  if (!broker || !(await isAlive(broker))) return undefined;
  const port = /^listeners=PLAINTEXT:\/\/127\.0\.0\.1:(\d+)/m.exec(settings)?.[1];
  return port === undefined ? undefined : { brokers: `127.0.0.1:${port}`, dataDir };
}

function brokerOf(lock: string): ProcessIdentity | undefined {
  try {
    const { broker } = JSON.parse(lock) as { broker?: ProcessIdentity };
    return typeof broker?.pid === 'number' ? broker : undefined;
  } catch {
    return undefined; // no lock, or one that names nothing: nobody runs a broker here
  }
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
