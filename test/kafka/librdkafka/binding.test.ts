import { execFile } from 'node:child_process';
import { join, parse } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const BINDING = join(import.meta.dirname, '..', '..', '..', 'src', 'kafka', 'librdkafka', 'binding.ts');

it('that is not installed is asked for by name and version', async () => {
  // From where nothing is installed, as this checkout may have it.
  const from = pathToFileURL(join(parse(process.execPath).root, 'nowhere.js'));
  const script = `const { loadBinding } = await import(${JSON.stringify(BINDING)});
    try { loadBinding(${JSON.stringify(from)}); } catch (error) { console.log(error.code, error.message); }`;
  const env = { ...process.env, NODE_PATH: '' };
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env });
  expect(stdout).toMatch(
    /^DRIVER_MISSING kafka.driver: librdkafka is not installed\. Run `npm install @confluentinc\/kafka-javascript@\d+\.\d+\.\d+`/,
  );
});
