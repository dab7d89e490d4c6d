/** What is wrong with settings, in sentences: where it stands, what was found and what is allowed. A secret is never part of one. */
import type { z } from 'zod';
import { WeirError } from '../errors.ts';
import { nearest } from './nearest.ts';
import { getAt } from './paths.ts';
import { describeSettings, keysUnder } from './settings.ts';

type Issue = z.core.$ZodIssue;

/** `where`: the place of a key, such as `weir.yaml:3`; undefined: it was set nowhere. */
export function problemsOf(issue: Issue, values: unknown, where: (key: string) => string | undefined): string[] {
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

/** All problems in one error. */
export function invalid(problems: readonly string[]): WeirError {
  if (problems.length === 1) return new WeirError('CONFIG_INVALID', problems[0] ?? '');
  return new WeirError('CONFIG_INVALID', `the settings have ${problems.length} problems:\n  ${problems.join('\n  ')}`);
}
