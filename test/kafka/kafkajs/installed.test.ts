import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..', '..');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-installed-test-'));
  await cp(join(ROOT, 'src'), join(folder, 'src'), { recursive: true });
  for (const name of ['package.json', 'proto', 'build']) await symlink(join(ROOT, name), join(folder, name));
  // All packages as they are, but for one that says that it is newer.
  const [from, to] = [join(ROOT, 'node_modules'), join(folder, 'node_modules')];
  await mkdir(to);
  for (const name of await readdir(from)) if (name !== 'kafkajs') await symlink(join(from, name), join(to, name));
  await mkdir(join(to, 'kafkajs'));
  await writeFile(join(to, 'kafkajs', 'package.json'), JSON.stringify({ name: 'kafkajs', version: '2.3.0' }));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('another version of kafkajs is refused in one sentence that says which one is needed', async () => {
  const child = spawn(process.execPath, [join(folder, 'src', 'main.ts'), 'process', '--kafka', '127.0.0.1:1'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let written = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      written += String(chunk);
    });
  }
  const [code] = await once(child, 'close');
  expect(written).toMatch(/kafkajs 2\.3\.0 is installed.*version 2\.2\.4/);
  expect(written).not.toMatch(/\n\s+at /);
  expect(code).toBe(1);
});
