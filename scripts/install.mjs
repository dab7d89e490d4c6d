/** The packages that the lock file names: installed where missing or stale. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { npmFailed, npmProgram } from './node.mjs';
import { capture, LaunchError, step } from './progress.mjs';
import { hashOf, isStamped, writeStamp } from './stamp.mjs';

const stampFile = (root) => join(root, 'node_modules', '.weir-stamp');

/**
 * @param {string} root the checkout
 * @param {string} node the Node to run npm with
 */
export async function install(root, node, env = process.env) {
  const hash = hashOf(root, ['package-lock.json']);
  if (isStamped(stampFile(root), hash)) return;
  if (!isInstalledByHand(root)) {
    rmSync(stampFile(root), { force: true });
    await step('Installing packages (npm ci)', () => npmCi(root, node, env));
  }
  writeStamp(stampFile(root), hash);
}

async function npmCi(root, node, env) {
  // Development packages hold the compilers, so NODE_ENV=production must not leave them out.
  const flags = ['--ignore-scripts', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = (...args) => capture(node, [npmProgram(env), ...args, ...flags], { cwd: root, env });
  let { code, said } = await npm('ci');
  // A lock file written where the registry has only this platform's packages lacks the optional ones of the others. `ci`
  // refuses that as out of step; `install` takes the versions that are locked all the same. It must not write the file.
  if (code !== 0 && /^npm error Missing: \S+@ from lock file/m.test(said)) {
    ({ code, said } = await npm('install', '--no-save'));
  }
  if (code !== 0) throw new LaunchError(npmFailed('install the packages', said));
}

/**
 * Whether a plain `npm install` or `npm ci` has already put there just what the lock file names. npm keeps what it has
 * installed in node_modules/.package-lock.json, without what the platform does not need.
 * @param {string} root
 * @returns {boolean}
 */
function isInstalledByHand(root) {
  const installedFile = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const read = (file) => JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  const installed = read(installedFile);
  return Object.entries(read(join(root, 'package-lock.json'))).every(
    ([path, wanted]) =>
      path === '' ||
      (installed[path] ? installed[path].version === wanted.version : Boolean(wanted.optional || wanted.devOptional)),
  );
}
