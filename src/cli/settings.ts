/** The flags that stand for settings, on a command; and the settings that come out of them. */
import { type Command, Option } from 'commander';
import { SETTING_FLAGS, type SettingFlag, type SettingFlagValues } from '../config/flags.ts';
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';

/** Flags of what reads or asks by Kafka itself. */
export const REMOTE_FLAGS = ['kafka', 'prefix', 'dataDir', 'logLevel'] as const;

export type SettingOptions = SettingFlagValues & { readonly config?: string };

/** `names`: all that a role takes, unless told. */
export function withSettings(command: Command, names?: readonly SettingFlag['name'][]): Command {
  command.option('-c, --config <file>', 'YAML or JSON file with settings');
  for (const { name, flag, argument, help, roles } of SETTING_FLAGS) {
    if (names && !names.includes(name)) continue;
    const option = new Option(argument ? `${flag} ${argument}` : flag, help);
    command.addOption(option.hideHelp(roles !== undefined && !roles.includes(command.name())));
  }
  return command;
}

/** The settings of flags, environment and file, and a log at their level that has been told of what is odd in them. */
export async function settingsOf({ config: file, ...flags }: SettingOptions): Promise<{ config: Config; log: Log }> {
  const { loadConfigWithOrigins } = await import('../config/load.ts');
  const { createLog } = await import('../log.ts');
  const { config, notes } = loadConfigWithOrigins({ ...(file !== undefined && { file }), env: process.env, flags });
  const log = createLog({ level: config.log.level });
  for (const note of notes) log.warn(note);
  return { config, log };
}
