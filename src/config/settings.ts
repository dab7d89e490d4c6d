/** The schema of src/config.ts as a flat list of settings: for the documentation's tables, the environment and the texts of errors. */
import { z } from 'zod';
import { configSchema } from '../config.ts';
import { SETTING_FLAGS } from './flags.ts';

export interface Setting {
  /** Such as `kafka.tls.caFile`. */
  readonly key: string;
  /** Every key has one, such as WEIR_KAFKA_TLS_CA_FILE. */
  readonly env: string;
  /** A shorter variable, named for the flag: WEIR_KAFKA for kafka.brokers. */
  readonly envOfFlag?: string;
  readonly flag?: string;
  readonly type: 'text' | 'number' | 'boolean' | 'texts' | 'json';
  /** undefined: none. */
  readonly default: unknown;
  /** The closed list, where there is one. */
  readonly values?: readonly string[];
  /** In words. */
  readonly allowed: string;
  readonly meaning: string;
  readonly secret: boolean;
}

/** What this file reads of a JSON Schema. */
interface JsonSchema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly oneOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly default?: unknown;
  readonly description?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly maxItems?: number;
  readonly allowed?: string;
  readonly secret?: boolean;
}

let settings: readonly Setting[] | undefined;

/** All settings, in the schema's order. */
export function describeSettings(): readonly Setting[] {
  if (!settings) {
    const root = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
    settings = leaves([], root).map(([path, schema]) => settingOf(path, schema));
  }
  return settings;
}

/** Names of the keys right under a group of settings ('' is the top); empty where the key is a setting itself or unknown. */
export function keysUnder(group: string): readonly string[] {
  const stem = group === '' ? '' : `${group}.`;
  const keys = describeSettings()
    .filter(({ key }) => key.startsWith(stem))
    .map(({ key }) => key.slice(stem.length).split('.')[0] ?? '');
  return [...new Set(keys)];
}

/** Environment variable of a key: `kafka.tls.caFile` is WEIR_KAFKA_TLS_CA_FILE. */
export const envOf = (key: string): string =>
  `WEIR_${key
    .replaceAll('.', '_')
    .replace(/[a-z0-9](?=[A-Z])/g, '$&_')
    .toUpperCase()}`;

/** For the documentation, in Markdown. */
export function settingsTable(shown = describeSettings()): string {
  const cell = (text: string) => text.replaceAll('|', '\\|');
  const rows = shown.map(({ key, flag, default: usual, allowed, meaning, secret }) => {
    const name = flag ? `\`${key}\` (\`${flag}\`)` : `\`${key}\``;
    const initial = usual === undefined ? '' : `\`${JSON.stringify(usual)}\``;
    return `| ${name} | ${initial} | ${cell(allowed)} | ${cell(meaning)}${secret ? ' (secret)' : ''} |`;
  });
  return ['| key (flag) | default | allowed | meaning |', '|---|---|---|---|', ...rows, ''].join('\n');
}

function leaves(path: readonly string[], schema: JsonSchema): [path: readonly string[], schema: JsonSchema][] {
  if (schema.oneOf) return leaves(path, mergeAlternatives(schema.oneOf));
  if (!schema.properties) return [[path, schema]];
  return Object.entries(schema.properties).flatMap(([name, child]) => leaves([...path, name], child));
}

/** Alternatives told apart by a constant (kafka.sasl.mechanism): all their keys, the constants as a closed list. */
function mergeAlternatives(alternatives: readonly JsonSchema[]): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  for (const alternative of alternatives)
    for (const [name, child] of Object.entries(alternative.properties ?? {})) {
      const values = [...(properties[name]?.enum ?? []), ...(child.const === undefined ? [] : [child.const])];
      properties[name] = {
        ...child,
        ...properties[name],
        ...(values.length > 0 && { const: undefined, enum: values }),
      };
    }
  return { properties };
}

function settingOf(path: readonly string[], schema: JsonSchema): Setting {
  const key = path.join('.');
  const flag = SETTING_FLAGS.find((candidate) => candidate.key === key);
  const envOfFlag =
    flag &&
    `WEIR_${flag.flag
      .replace(/^--(no-)?/, '')
      .replaceAll('-', '_')
      .toUpperCase()}`;
  return {
    key,
    env: envOf(key),
    ...(envOfFlag && envOfFlag !== envOf(key) && { envOfFlag }),
    ...(flag && { flag: flag.flag }),
    type: typeOf(schema),
    default: schema.default,
    ...(schema.enum && { values: schema.enum }),
    allowed: schema.allowed ?? allowedBy(schema),
    meaning: schema.description ?? '',
    secret: schema.secret ?? false,
  };
}

function typeOf({ type, items }: JsonSchema): Setting['type'] {
  if (type === 'integer' || type === 'number') return 'number';
  if (type === 'boolean') return 'boolean';
  if (type === 'array') return items?.type === 'string' ? 'texts' : 'json';
  return 'text';
}

function allowedBy(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.join(', ');
  if (schema.type === 'boolean') return 'true, false';
  if (schema.type === 'integer' || schema.type === 'number') {
    const kind = schema.type === 'integer' ? 'an integer' : 'a number';
    const { exclusiveMinimum } = schema;
    const minimum = schema.type === 'integer' && exclusiveMinimum !== undefined ? exclusiveMinimum + 1 : schema.minimum;
    const maximum = schema.maximum === Number.MAX_SAFE_INTEGER ? undefined : schema.maximum;
    const lower =
      minimum !== undefined ? `from ${minimum}` : exclusiveMinimum !== undefined ? `above ${exclusiveMinimum}` : '';
    return [kind, lower, maximum !== undefined ? `to ${maximum}` : ''].filter((part) => part !== '').join(' ');
  }
  if (schema.type === 'array') return `a list of texts${schema.maxItems ? `, at most ${schema.maxItems}` : ''}`;
  if (schema.format === 'uri') return 'a URL';
  return (schema.minLength ?? 0) > 1 ? `a text of at least ${schema.minLength} characters` : 'a text';
}
