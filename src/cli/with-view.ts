/** For commands that read an installation from Kafka itself, or ask its leader by Kafka: they work without a running API. */
import { type InstallationView, openInstallationView } from '../api/installation-view.ts';
import type { Config } from '../config.ts';
import { openRunningKafka } from '../kafka/connect.ts';
import type { Log } from '../log.ts';
import { namesFor } from '../names.ts';

/** What such a command needs. */
export interface ViewCommand {
  readonly config: Config;
  readonly log: Log;
  readonly stdout: { write(text: string): unknown };
  /** Prints JSON instead of text. */
  readonly json: boolean;
}

export async function withView(
  { config, log }: Pick<ViewCommand, 'config' | 'log'>,
  use: (view: InstallationView) => Promise<void>,
): Promise<void> {
  const kafka = await openRunningKafka(config, log);
  try {
    const view = await openInstallationView({ port: kafka.port, names: namesFor(config.prefix), config, log });
    try {
      await use(view);
    } finally {
      await view.close();
    }
  } finally {
    await kafka.close();
  }
}

/** Prints a document of the API (src/api/documents.ts): as JSON, or as the text of it. */
export function print<D>({ stdout, json }: ViewCommand, document: D, textOf: (document: D) => string): void {
  stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : textOf(document));
}
