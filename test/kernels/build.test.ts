/** build/weir.wasm is what assembly/ gives, byte for byte, and stays small. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const MOST_BYTES = 64 * 1024;

/** As scripts/build.mjs has them. */
interface Product {
  readonly folder: string;
  readonly from: readonly string[];
  command(fresh: string): string[];
}
const script = <T>(name: string) => import(join(root, 'scripts', `${name}.mjs`)) as Promise<T>;
const { PRODUCTS } = await script<{ PRODUCTS: readonly Product[] }>('build');
const { hashOf } = await script<{ hashOf(root: string, paths: readonly string[]): string }>('stamp');
const kernels = PRODUCTS.find((product) => product.folder === 'build')!;

describe('the build of the kernels', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'weir-build-'));
  let builds: Buffer[];

  beforeAll(async () => {
    const build = async (name: string) => {
      const folder = join(scratch, name);
      await promisify(execFile)(process.execPath, kernels.command(folder), { cwd: root });
      return readFileSync(join(folder, 'weir.wasm'));
    };
    builds = [await build('first'), await build('second')];
  }, 120_000);
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it('gives the same bytes each time', () => {
    expect(builds[0]!.equals(builds[1]!)).toBe(true);
  });

  it('stays below 64 KiB', () => {
    expect(builds[0]!.length).toBeLessThan(MOST_BYTES);
  });

  it('was stamped with the hash of the sources as they are (if not: npm run build)', () => {
    expect(readFileSync(join(root, 'build/.weir-stamp'), 'utf8')).toBe(hashOf(root, kernels.from));
  });

  it('is what build/weir.wasm holds, so that the tests run what the sources say', () => {
    expect(readFileSync(join(root, 'build/weir.wasm')).equals(builds[0]!)).toBe(true);
  });
});
