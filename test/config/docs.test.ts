/** What docs/ says is whole: examples that are valid, every error code, every flag, every path of the API. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { Command } from 'commander';
import { pino } from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import { indexPage } from '../../src/api/index-page.ts';
import { openCredentials } from '../../src/bridge/credentials.ts';
import { REFUSALS } from '../../src/bridge/refusal.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { SETTING_FLAGS } from '../../src/config/flags.ts';
import { loadConfigWithOrigins } from '../../src/config/load.ts';
import { describeSettings } from '../../src/config/settings.ts';
import { ERROR_CODES } from '../../src/errors.ts';
import { createMetrics } from '../../src/metrics.ts';

const read = (name: string) => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');
const docs = read('kafka.md');
const folder = mkdtempSync(join(tmpdir(), 'weir-docs-'));
afterAll(() => rmSync(folder, { recursive: true }));

const examples = [...docs.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

describe('docs/kafka.md', () => {
  it('has an example for TLS and for each mechanism', () => {
    expect(examples).toHaveLength(5);
    for (const word of ['caFile', 'plain', 'scram-sha-512', 'tokenFile', 'tokenEndpoint'])
      expect(
        examples.some((text) => text.includes(word)),
        word,
      ).toBe(true);
  });

  it.each(examples)('has examples that are taken without a note: %s', (text) => {
    const file = join(folder, 'example.yaml');
    writeFileSync(file, text);
    const env = text.includes('tokenEndpoint')
      ? { WEIR_KAFKA_SASL_CLIENT_SECRET: 's' }
      : /plain|scram/.test(text)
        ? { WEIR_KAFKA_SASL_PASSWORD: 'p' }
        : {};
    expect(loadConfigWithOrigins({ file, env }).notes).toEqual([]);
  });

  it('says of every error code what to do', () => {
    const rows = [...docs.matchAll(/^\| ([A-Z_]+) \| .+ \| .+ \|$/gm)].map((match) => match[1]);
    expect(rows).toEqual(Object.keys(ERROR_CODES));
  });
});

describe('docs/bridge.md', () => {
  const text = read('bridge.md');
  const [, credentials = ''] = /<!-- credentials -->\n```yaml\n([\s\S]*?)```/.exec(text) ?? [];

  it.each(
    [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '').filter((of) => of !== credentials),
  )('has examples that are taken: %s', (example) => {
    const file = join(folder, 'bridge.yaml');
    writeFileSync(file, example);
    expect(Object.keys(loadConfigWithOrigins({ file, env: {} }).config.bridge)).toContain('tls');
  });

  it('has credentials that are taken', async () => {
    const file = join(folder, 'credentials.yaml');
    writeFileSync(file, credentials);
    const opened = await openCredentials(file, pino({ level: 'silent' }));
    opened.stop();
    expect(opened.callerOf('Bearer 4Yl2hQx0d7pTq1mB')).toEqual({ tenant: 'acme' });
    expect(opened.callerOf(`Basic ${btoa('collector:correct horse')}`)).toEqual({ tenant: 'globex' });
  });

  it('says of every refusal what exporters are told', () => {
    const [, table = ''] = /<!-- refusals[^>]*-->\n([\s\S]*?)\n\n/.exec(text) ?? [];
    const rows = [...table.matchAll(/^\| ([a-z_]+) \| ([A-Z_]+) \| (\d+) \| (yes|no) \|/gm)].map((row) =>
      row.slice(1, 5),
    );
    const code = (value: number) => Object.entries(status).find(([, of]) => of === value)?.[0];
    expect(rows).toEqual(
      Object.entries(REFUSALS).map(([reason, { grpc, http, retry }]) => [
        reason,
        code(grpc),
        String(http),
        retry ? 'yes' : 'no',
      ]),
    );
  });
});

describe('docs/cli.md', () => {
  const text = read('cli.md');
  const commands = (of: Command): Command[] => [of, ...of.commands.flatMap(commands)];

  it('names every flag of every command', () => {
    const flags = commands(buildProgram(() => {})).flatMap(({ options }) => options.map(({ long }) => long ?? ''));
    expect(flags).toContain('--grpc-port');
    expect([...new Set(flags)].filter((flag) => !new RegExp(`(?<![\\w-])${flag}(?![\\w-])`).test(text))).toEqual([]);
  });

  it('names every command', () => {
    const names = buildProgram(() => {}).commands.map((command) => `\`weir ${command.name()}`);
    expect(names.filter((name) => !text.includes(name))).toEqual([]);
  });

  it('names the variable of every flag that stands for a setting', () => {
    const rows = SETTING_FLAGS.map(({ flag, key }) => ({ flag, env: describeSettings().find((of) => of.key === key) }));
    for (const { flag, env } of rows)
      expect(text).toMatch(new RegExp(`^\\| \`${flag}[^|]*\\| \`${env?.envOfFlag ?? env?.env}[^|]*\\|`, 'm'));
  });
});

describe('docs/sharding.md', () => {
  const text = read('sharding.md');
  const all = (pattern: RegExp) => [...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? ''))];

  it('shows commands that there are, and leaves out none that is about shards', () => {
    const { commands } = buildProgram(() => {});
    const under = (name: string) =>
      commands.find((command) => command.name() === name)!.commands.map((command) => command.name());
    expect(all(/\bweir shards ([a-z]+)/g).sort()).toEqual(under('shards').sort());
    expect(all(/\bweir inspect ([a-z]+)/g).filter((name) => !under('inspect').includes(name))).toEqual([]);
  });

  it('names metrics and settings that there are', async () => {
    const metrics = (await createMetrics().registry.getMetricsAsJSON()).map(({ name }) => name);
    const alerts = all(/\b(weir_[a-z_]+)/g);
    expect(alerts).toContain('weir_ring_proposed_timestamp_seconds');
    expect(alerts.filter((name) => !metrics.includes(name))).toEqual([]);
    const settings = describeSettings().map(({ key }) => key);
    const named = all(/`((?:control|kafka|topics|routing)\.[A-Za-z.]+)/g);
    expect(named).toContain('control.ring.carryMs');
    expect(named.filter((key) => !settings.includes(key))).toEqual([]);
  });

  it('leads to sections that it has', () => {
    const sections = all(/^## (.+)$/gm).map((title) => title.toLowerCase().replaceAll(' ', '-'));
    expect(all(/\]\(#([^)]+)\)/g).filter((anchor) => !sections.includes(anchor))).toEqual([]);
  });
});

describe('docs/api.md', () => {
  it('names every path that the index links', () => {
    const paths = [...indexPage(true).matchAll(/href="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(paths).toContain('/api/v1/shards');
    expect(paths.filter((path) => !new RegExp(`^\\| \`${path}[\`?]`, 'm').test(read('api.md')))).toEqual([]);
  });
});
