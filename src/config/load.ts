/**
 * Settings from four layers: flags over environment over file over defaults. Every problem of every layer is told at once,
 * with where it stands, what was found and what is allowed. A secret is never part of a text.
 */
import { readFileSync } from 'node:fs';
import { isMap, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { type Config, configSchema } from '../config.ts';
import { WeirError } from '../errors.ts';
import { SETTING_FLAGS, type SettingFlagValues } from './flags.ts';
import { nearest } from './nearest.ts';
import { describeSettings, keysUnder, type Setting } from './settings.ts';

export interface ConfigSources {
  /** YAML or JSON. Absent: WEIR_CONFIG, else none. */
  readonly file?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
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

// --- file

interface ConfigFile {
  readonly values: Record<string, unknown>;
  /** Key (also of groups and list entries) -> file:line. */
  readonly places: ReadonlyMap<string, string>;
}

const EMPTY_FILE: ConfigFile = { values: {}, places: new Map() };

function readConfigFile(path: string): ConfigFile {
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (cause) {
    const why = { ENOENT: 'there is no such file', EACCES: 'reading it is not permitted', EISDIR: 'it is a folder' };
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    const reason = why[code as keyof typeof why] ?? code;
    throw new WeirError('CONFIG_INVALID', `cannot read the configuration file ${path}: ${reason}`, { cause });
  }
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' });
  const at = (offset: number) => `${path}:${lines.linePos(offset).line}`;
  // The parser's own messages quote the source, and that may be a password: only its code is used.
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0)
    throw invalid(faults.map(({ pos, code }) => `${at(pos[0])}: ${YAML_FAULTS[code] ?? NOT_YAML}`));
  if (document.contents === null) return EMPTY_FILE;
  if (!isMap(document.contents))
    throw invalid([`${path}: found no settings; allowed: a mapping such as "prefix: prod."`]);

  const places = new Map<string, string>();
  const walk = (node: unknown, key: string) => {
    if (!isMap(node)) return;
    for (const pair of node.items) {
      const name = pair.key as { value?: unknown; range?: readonly number[] | null };
      const child = key === '' ? String(name.value) : `${key}.${String(name.value)}`;
      places.set(child, at(name.range?.[0] ?? 0));
      walk(pair.value, child);
    }
  };
  walk(document.contents, '');
  try {
    return { values: document.toJS({ maxAliasCount: 100 }) as Record<string, unknown>, places };
  } catch (cause) {
    throw new WeirError(
      'CONFIG_INVALID',
      `${path}: an alias (*name) without its anchor, or too many of them; ${QUOTE}`,
      {
        cause,
      },
    );
  }
}

const QUOTE = 'put a text that begins with *, &, !, @, %, | or > in quotes';
const NOT_YAML = 'this is neither YAML nor JSON';
const YAML_FAULTS: Readonly<Record<string, string>> = {
  BAD_ALIAS: `an alias (*name) without its anchor; ${QUOTE}`,
  TAG_RESOLVE_FAILED: `an unknown tag (!name); ${QUOTE}`,
  DUPLICATE_KEY: 'this key stands here twice',
  TAB_AS_INDENT: 'a tab in the indentation; YAML wants spaces',
  BAD_INDENT: 'the indentation does not fit, or a bracket before it is not closed',
  MISSING_CHAR: 'a quote, comma, colon or bracket is missing',
  MULTIPLE_DOCS: 'a second YAML document begins here; one is allowed',
};

// --- environment and flags

interface SetValue {
  readonly key: string;
  readonly value: unknown;
  readonly origin: string;
}

/** Read elsewhere: by the command line, the launcher and the tests. */
const NOT_SETTINGS = /^WEIR_(CONFIG|CACHE_DIR|KERNEL|TEST_.*)$/;
/** What Kubernetes puts into every pod beside a Service named weir…: no settings, though they look so. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
const SERVICE_URL = /^(tcp|udp|sctp):\/\//;

function readEnvironment(env: NonNullable<ConfigSources['env']>, problems: string[], notes: string[]): SetValue[] {
  const settings = new Map<string, Setting>();
  for (const setting of describeSettings()) {
    settings.set(setting.env, setting);
    if (setting.envOfFlag) settings.set(setting.envOfFlag, setting);
  }
  const found = new Map<string, SetValue>();
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('WEIR_') || NOT_SETTINGS.test(name) || !text) continue;
    if (SERVICE_LINK.test(name) || SERVICE_URL.test(text)) continue;
    const setting = settings.get(name);
    if (!setting) {
      const meant = nearest(name, [...settings.keys()], 2);
      // Others may use the stem, such as the launcher; a near miss is a mistake.
      if (meant) problems.push(`${name}: no such setting; did you mean ${meant}?`);
      else notes.push(`${name} in the environment is no setting of Weir`);
      continue;
    }
    const earlier = found.get(setting.key);
    const value = valueOfText(text, setting);
    if (earlier && JSON.stringify(earlier.value) !== JSON.stringify(value))
      problems.push(`${name}: differs from ${earlier.origin}; both set ${setting.key}, so set one`);
    found.set(setting.key, { key: setting.key, value, origin: name });
  }
  return [...found.values()];
}

function readFlags(flags: SettingFlagValues): SetValue[] {
  return SETTING_FLAGS.flatMap(({ name, flag, key }) => {
    const given = flags[name];
    // commander gives `true` for a --no-… flag that is not there.
    if (given === undefined || given === true) return [];
    const setting = describeSettings().find((candidate) => candidate.key === key);
    const value = typeof given === 'string' && setting ? valueOfText(given, setting) : given;
    return [{ key, value, origin: flag }];
  });
}

/** A text as the setting's type; what does not fit stays a text, and the schema says so. */
function valueOfText(text: string, { type }: Setting): unknown {
  const trimmed = text.trim();
  if (type === 'number') return trimmed === '' || Number.isNaN(Number(trimmed)) ? text : Number(trimmed);
  if (type === 'boolean') {
    if (/^(true|1|yes|on)$/i.test(trimmed)) return true;
    return /^(false|0|no|off)$/i.test(trimmed) ? false : text;
  }
  if (type === 'texts') return trimmed.split(',').map((part) => part.trim());
  if (type === 'json') {
    try {
      return JSON.parse(text);
    } catch {
      return text; // the schema's problem then shows what was found
    }
  }
  return text;
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

// --- problems

type Issue = z.core.$ZodIssue;

function problemsOf(issue: Issue, values: unknown, where: (key: string) => string | undefined): string[] {
  const key = issue.path.join('.');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((name) => {
      const unknown = key === '' ? name : `${key}.${name}`;
      return `${where(unknown) ?? 'settings'}: unknown key ${unknown}; ${suggestion(key, name)}`;
    });
  const found = getAt(values, key);
  const place = where(key);
  const stem =
    place === undefined
      ? key
      : place.startsWith('-') || place.startsWith('WEIR_')
        ? `${place} (${key})`
        : `${place}: ${key}`;
  return [`${stem}: found ${show(key, found)}; allowed: ${allowedAt(key, issue)}`];
}

function suggestion(group: string, name: string): string {
  const siblings = keysUnder(group);
  const keyOf = (sibling: string) => (group === '' ? sibling : `${group}.${sibling}`);
  const near = nearest(name, siblings);
  if (near) return `did you mean ${keyOf(near)}?`;
  const plain = (text: string) => text.replaceAll(/[-_]/g, '').toLowerCase();
  const elsewhere = describeSettings().filter(({ key }) => plain(key.split('.').at(-1) ?? '') === plain(name));
  if (elsewhere.length > 0) return `did you mean ${elsewhere.map(({ key }) => key).join(' or ')}?`;
  return siblings.length > 0 ? `allowed here: ${siblings.join(', ')}` : 'nothing is allowed here';
}

function allowedAt(key: string, issue: Issue): string {
  const setting = describeSettings().find((candidate) => candidate.key === key);
  // A cross-check (superRefine) says more than the setting's own limits.
  if (issue.code === 'custom') return issue.message;
  if (setting) return setting.allowed;
  const group = keysUnder(key);
  if (group.length > 0) return `a mapping with ${group.join(', ')}`;
  const list = describeSettings().find((candidate) => key.startsWith(`${candidate.key}.`));
  return list?.allowed ?? issue.message;
}

/** A value for a text: short, and nothing of a secret or of what may hold one. */
function show(key: string, value: unknown): string {
  if (value === undefined) return 'nothing';
  const holdsSecret = describeSettings().some(
    (setting) =>
      setting.secret && (setting.key === key || setting.key.startsWith(`${key}.`) || key.startsWith(`${setting.key}.`)),
  );
  if (holdsSecret || (typeof value === 'object' && value !== null)) return kindOf(value);
  const shown = JSON.stringify(value) ?? String(value);
  return shown.length > 60 ? `${shown.slice(0, 60)}…` : shown;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return (
    { string: 'a text', number: 'a number (texts of digits go in quotes)', object: 'a mapping' }[
      typeof value as string
    ] ?? `a ${typeof value}`
  );
}

/** The place of the key, else of the nearest group around it. */
function originOf(key: string, origins: ReadonlyMap<string, string>): string | undefined {
  for (let part = key; part !== ''; part = part.slice(0, Math.max(0, part.lastIndexOf('.')))) {
    const origin = origins.get(part);
    if (origin) return origin;
  }
  return undefined;
}

function invalid(problems: readonly string[]): WeirError {
  if (problems.length === 1) return new WeirError('CONFIG_INVALID', problems[0] ?? '');
  return new WeirError('CONFIG_INVALID', `the settings have ${problems.length} problems:\n  ${problems.join('\n  ')}`);
}

// --- paths

function getAt(values: unknown, key: string): unknown {
  return key.split('.').reduce<unknown>((value, name) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    return (value as Record<string, unknown>)[name];
  }, values);
}

function setAt(values: Record<string, unknown>, key: string, value: unknown): void {
  const path = key.split('.');
  const last = path.pop() ?? key;
  let group = values;
  for (const name of path) {
    const inner = group[name];
    if (inner === undefined || inner === null) group[name] = {};
    // A scalar where a group belongs stays, for the schema to tell.
    else if (typeof inner !== 'object' || Array.isArray(inner)) return;
    group = group[name] as Record<string, unknown>;
  }
  group[last] = value;
}
