import { describe, expect, it } from 'vitest';
import { SETTING_FLAGS } from '../../src/config/flags.ts';
import { editDistance, nearest } from '../../src/config/nearest.ts';
import { describeSettings, envOf, keysUnder, settingsTable } from '../../src/config/settings.ts';
import { configSchema } from '../../src/config.ts';

describe('the list of settings', () => {
  it('says of every setting what it means and what is allowed', () => {
    const settings = describeSettings();
    expect(settings.length).toBeGreaterThan(50);
    expect(settings.filter(({ meaning, allowed }) => meaning === '' || allowed === '')).toEqual([]);
  });

  it('has every leaf of a configuration with all defaults', () => {
    const leaves = (value: unknown, path: string): string[] =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.entries(value).flatMap(([name, inner]) => leaves(inner, path === '' ? name : `${path}.${name}`))
        : [path];
    const keys = describeSettings().map(({ key }) => key);
    expect(leaves(configSchema.parse({}), '').filter((leaf) => !keys.includes(leaf))).toEqual([]);
  });

  it('gives each an environment variable of its own', () => {
    const names = describeSettings().flatMap(({ env, envOfFlag }) => (envOfFlag ? [env, envOfFlag] : [env]));
    expect(new Set(names).size).toBe(names.length);
    expect(envOf('kafka.tls.caFile')).toBe('WEIR_KAFKA_TLS_CA_FILE');
    expect(names).toContain('WEIR_KAFKA');
  });

  it('knows every flag that stands for a setting', () => {
    const keys = describeSettings().map(({ key }) => key);
    expect(SETTING_FLAGS.filter(({ key }) => !keys.includes(key))).toEqual([]);
  });

  it('holds what can be in a secret as secret', () => {
    const secrets = describeSettings().filter(({ secret }) => secret);
    expect(secrets.map(({ key }) => key)).toEqual(['kafka.sasl.password', 'kafka.sasl.clientSecret', 'api.token']);
    expect(describeSettings().filter(({ key, secret }) => /password|secret|token$/i.test(key) && !secret)).toEqual([]);
  });

  it('becomes a Markdown table with a row for each', () => {
    const rows = settingsTable().trim().split('\n');
    expect(rows).toHaveLength(describeSettings().length + 2);
    for (const row of rows) expect(row.replaceAll('\\|', '').match(/\|/g)).toHaveLength(5);
    expect(rows).toContain(
      '| `grpcPort` (`--grpc-port`) | `4317` | an integer from 0 to 65535 | OTLP/gRPC; 0 picks a free port |',
    );
  });

  it('tells the keys of a group', () => {
    expect(keysUnder('load')).toEqual(['reportIntervalMs', 'slotIntervalMs']);
    expect(keysUnder('')).toContain('kafka');
    expect(keysUnder('grpcPort')).toEqual([]);
  });
});

describe('the nearest name', () => {
  it.each([
    ['', 'abc', 3],
    ['abc', 'abc', 0],
    ['gprc', 'grpc', 1],
    ['broker', 'brokers', 1],
    ['kitten', 'sitting', 3],
  ])('counts the edits from "%s" to "%s"', (a, b, edits) => {
    expect(editDistance(a, b)).toBe(edits);
    expect(editDistance(b, a)).toBe(edits);
  });

  it('is none when all are far away', () => {
    expect(nearest('zebra', ['brokers', 'prefix'])).toBeUndefined();
    expect(nearest('Brokres', ['brokers', 'prefix'])).toBe('brokers');
  });
});
