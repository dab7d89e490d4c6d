/**
 * Settings from four layers: flags over environment over file over defaults. All problems of all layers are told at once.
 */
import { type Config, configSchema } from '../config.ts';
import { EMPTY_FILE, readConfigFile } from './config-file.ts';
import { type Environment, readEnvironment, readFlags } from './environment.ts';
import type { SettingFlagValues } from './flags.ts';
import { getAt, setAt } from './paths.ts';
import { invalid, problemsOf } from './problems.ts';
import { describeSettings } from './settings.ts';

export interface ConfigSources {
  /** YAML or JSON. Absent: WEIR_CONFIG, else none. */
  readonly file?: string;
  readonly env?: Environment;
  readonly flags?: SettingFlagValues;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Where each setting that is not at its default came from: key -> `weir.yaml:3`, `WEIR_PREFIX`, `--kafka`. */
  readonly origins: ReadonlyMap<string, string>;
  /** Sentences for the log: what was found and left alone. */
  readonly notes: readonly string[];
}

export function loadConfig(sources: ConfigSources): Config {
  return loadConfigWithOrigins(sources).config;
}

export function loadConfigWithOrigins({ file, env = {}, flags = {} }: ConfigSources): LoadedConfig {
  const path = file ?? (env.WEIR_CONFIG || undefined);
  const problems: string[] = [];
  const notes: string[] = [];
  const fromFile = path === undefined ? EMPTY_FILE : readConfigFile(path);
  const merged = structuredClone(fromFile.values);
  const origins = new Map<string, string>();
  for (const [key, at] of fromFile.places) origins.set(key, at);
  for (const { key, value, origin } of [...readEnvironment(env, problems, notes), ...readFlags(flags)]) {
    setAt(merged, key, value);
    origins.set(key, origin);
  }
  matchCaseOfValues(merged);

  const parsed = configSchema.safeParse(merged);
  if (!parsed.success) {
    const where = (key: string) => originOf(key, origins) ?? path;
    problems.push(...parsed.error.issues.flatMap((issue) => problemsOf(issue, merged, where)));
  }
  if (!parsed.success || problems.length > 0) throw invalid(problems);

  const config = parsed.data;
  const { sasl, tls } = config.kafka;
  if (sasl && !tls.enabled)
    notes.push('kafka.sasl without kafka.tls.enabled: the log-in crosses the network in the clear');
  if (config.bridge.auth.credentialsFile && !config.bridge.tls.enabled)
    notes.push('bridge.auth without bridge.tls.enabled: tokens and passwords cross the network in the clear');
  return { config, origins, notes };
}

/** The settings that differ from their defaults, each with its place; secrets as `(set)`. */
export function effectiveSettings({ config, origins }: LoadedConfig): { key: string; shown: string; origin: string }[] {
  return describeSettings().flatMap(({ key, default: usual, secret }) => {
    const value = getAt(config, key);
    if (value === undefined || JSON.stringify(value) === JSON.stringify(usual)) return [];
    return [{ key, shown: secret ? '(set)' : JSON.stringify(value), origin: originOf(key, origins) ?? 'default' }];
  });
}

/** Kafka's own texts write SCRAM-SHA-512 and INFO: closed lists do not care about case. */
function matchCaseOfValues(values: Record<string, unknown>): void {
  for (const { key, values: allowed } of describeSettings()) {
    const found = getAt(values, key);
    if (!allowed || typeof found !== 'string') continue;
    const exact = allowed.find((value) => value.toLowerCase() === found.toLowerCase());
    if (exact) setAt(values, key, exact);
  }
}

/** The place of the key, else of the nearest group around it. */
function originOf(key: string, origins: ReadonlyMap<string, string>): string | undefined {
  for (let part = key; part !== ''; part = part.slice(0, Math.max(0, part.lastIndexOf('.')))) {
    const origin = origins.get(part);
    if (origin) return origin;
  }
  return undefined;
}
