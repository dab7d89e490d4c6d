/** The configuration file, in YAML or JSON: its values, and on which line each stands. */
import { readFileSync } from 'node:fs';
import { isMap, LineCounter, parseDocument } from 'yaml';
import { WeirError } from '../errors.ts';
import { invalid } from './problems.ts';

export interface ConfigFile {
  readonly values: Record<string, unknown>;
  /** Key (also of groups and list entries) -> file:line. */
  readonly places: ReadonlyMap<string, string>;
}

export const EMPTY_FILE: ConfigFile = { values: {}, places: new Map() };

export function readConfigFile(path: string): ConfigFile {
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
