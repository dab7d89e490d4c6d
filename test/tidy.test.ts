/** What ARCHITECTURE.md and CONTRIBUTING.md claim of the tree, checked. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pagesWithTables } from '../scripts/docs.ts';
import { ERROR_CODES } from '../src/errors.ts';
import { createMetrics } from '../src/metrics.ts';

const root = resolve(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const sources = globSync('src/**/*.ts', { cwd: root }).sort();
const docs = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', ...globSync('docs/*.md', { cwd: root })]
  .map(read)
  .join('\n');

/** Static and dynamic imports, resolved to paths below the root; packages and node: modules as they are. */
function importsOf(path: string): string[] {
  const found = [...read(path).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] as string);
  return found.map((name) => (name.startsWith('.') ? relative(root, resolve(root, dirname(path), name)) : name));
}

/**
 * Layers, from the top: a folder may import its own layer's listed neighbours and anything below. Files directly under
 * src are named one by one: main and the roles compose, the rest is shared vocabulary.
 */
const LAYERS: readonly (readonly string[])[] = [
  ['main', 'cli', 'roles'],
  ['bridge', 'pipeline', 'runtime', 'api', 'demo', 'loadgen', 'workers'],
  ['coordination', 'control', 'load'],
  ['kernels', 'kafka', 'topics'],
  ['abortable', 'log', 'metrics', 'names', 'config', 'errors', 'lasting-trouble', 'protobuf', 'signals'],
];

const placeOf = (path: string) =>
  path
    .replace(/^src\//, '')
    .split('/')[0]!
    .replace(/\.ts$/, '');
const layerOf = (place: string) => LAYERS.findIndex((layer) => layer.includes(place));

describe('the tree', () => {
  it('has a layer for every folder and file under src', () => {
    expect([...new Set(sources.map(placeOf))].filter((place) => layerOf(place) === -1)).toEqual([]);
  });

  it('imports downwards only', () => {
    const upward = sources.flatMap((path) =>
      importsOf(path)
        .filter((target) => target.startsWith('src/'))
        .filter((target) => layerOf(placeOf(target)) < layerOf(placeOf(path)))
        .map((target) => `${path} -> ${target}`),
    );
    expect(upward).toEqual([]);
  });

  it('keeps control pure: no I/O, no clock, no chance', () => {
    const impure = sources
      .filter((path) => path.startsWith('src/control/'))
      .flatMap((path) => {
        const imports = importsOf(path).filter(
          (name) =>
            !(
              name.startsWith('src/control/') ||
              /^src\/(signals|config|coordination\/ring-(epoch|change)|kernels\/\w+\/kernel)\.ts$/.test(name) ||
              name === 'zod'
            ),
        );
        const calls =
          read(path).match(/Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval|fetch\(/g) ??
          [];
        return [...imports, ...calls].map((what) => `${path}: ${what}`);
      });
    expect(impure).toEqual([]);
  });

  it('keeps kafkajs behind its adapter', () => {
    const outside = sources
      .filter((path) => !path.startsWith('src/kafka/kafkajs/'))
      .filter((path) => importsOf(path).some((name) => name === 'kafkajs' || name.startsWith('kafkajs/')));
    expect(outside).toEqual([]);
  });

  it('gives each kernel a type, two twins, a parity suite and a bench', () => {
    for (const kernel of globSync('src/kernels/*/', { cwd: root }).map((path) =>
      path.split('/').filter(Boolean).at(-1),
    )) {
      for (const file of ['kernel', 'wasm', 'reference']) {
        expect(existsSync(join(root, `src/kernels/${kernel}/${file}.ts`)), `src/kernels/${kernel}/${file}.ts`).toBe(
          true,
        );
      }
      expect(existsSync(join(root, `test/kernels/${kernel}.parity.test.ts`)), `parity suite of ${kernel}`).toBe(true);
      expect(existsSync(join(root, `bench/kernels/${kernel}.bench.ts`)), `bench of ${kernel}`).toBe(true);
    }
  });

  it('runs the one contract suite on every Kafka adapter', () => {
    for (const adapter of ['kafkajs', 'memory']) {
      expect(read(`test/contract/${adapter}.test.ts`)).toContain('contractSuite(');
    }
  });

  it('has no names that say nothing', () => {
    const empty = /(^|[/-])(helpers?|utils?|common|misc|manager|data|info)(\.|\/|-|$)/;
    expect(sources.filter((path) => empty.test(path.replace(/^src/, '')))).toEqual([]);
  });

  it('skips no test silently and singles none out', () => {
    const marked = globSync('test/**/*.ts', { cwd: root })
      .filter((path) => path !== 'test/tidy.test.ts')
      .filter((path) => /\b(it|test|describe)\.(only|todo)\b/.test(read(path)));
    expect(marked).toEqual([]);
  });
});

describe('the docs', () => {
  it('name every metric', async () => {
    const names = (await createMetrics().registry.getMetricsAsJSON()).map((metric) => metric.name);
    expect(names.filter((name) => !docs.includes(name))).toEqual([]);
  });

  it('have the tables of settings and metrics as the code has them (node scripts/docs.ts writes them)', async () => {
    for (const [path, text] of await pagesWithTables()) expect(read(path)).toBe(text);
  });

  it('name every error code', () => {
    expect(Object.keys(ERROR_CODES).filter((code) => !docs.includes(code))).toEqual([]);
  });

  it('name every flag of the command line', () => {
    const flags = new Set(
      ['src/main.ts', ...sources.filter((path) => path.startsWith('src/cli/'))].flatMap((path) =>
        [...read(path).matchAll(/'(?:-\w, )?(--[a-z][a-z-]+)/g)].map((match) => match[1] as string),
      ),
    );
    expect(flags.size).toBeGreaterThan(5);
    expect([...flags].filter((flag) => !docs.includes(flag))).toEqual([]);
  });

  it('names only files that exist in ARCHITECTURE.md', () => {
    const named = [
      ...read('ARCHITECTURE.md').matchAll(/`((?:src|assembly|test|bench|scripts|proto)\/[\w./-]+\.\w+)(?::\w+)?`/g),
    ];
    expect(named.length).toBeGreaterThan(10);
    expect(named.map((match) => match[1] as string).filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it('names only functions that are there in ARCHITECTURE.md', () => {
    const named = [...read('ARCHITECTURE.md').matchAll(/`((?:src|assembly)\/[\w./-]+\.ts):(\w+)`/g)];
    const missing = named
      .filter(([, path, name]) => !new RegExp(`\\b${name}\\b`).test(read(path as string)))
      .map(([whole]) => whole);
    expect(missing).toEqual([]);
  });
});
