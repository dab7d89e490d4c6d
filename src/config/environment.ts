/** Settings from the environment and from flags. */
import { SETTING_FLAGS, type SettingFlagValues } from './flags.ts';
import { nearest } from './nearest.ts';
import { describeSettings, type Setting } from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface SetValue {
  readonly key: string;
  readonly value: unknown;
  readonly origin: string;
}

/** Read elsewhere: by the command line, the launcher and the tests. */
const NOT_SETTINGS = /^WEIR_(CONFIG|CACHE_DIR|KERNEL|TEST_.*)$/;
/** What Kubernetes puts into every pod beside a Service named weir…: no settings, though they look so. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
const SERVICE_URL = /^(tcp|udp|sctp):\/\//;

export function readEnvironment(env: Environment, problems: string[], notes: string[]): SetValue[] {
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

export function readFlags(flags: SettingFlagValues): SetValue[] {
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
