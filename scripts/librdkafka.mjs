/**
 * Builds the optional librdkafka driver into Weir's cache folder, for the tests and benches that run on it. `node
 * scripts/librdkafka.mjs` prints the folder for NODE_PATH. Not into node_modules: nothing else needs it, and installing Weir runs no
 * scripts.
 */
import { existsSync, realpathSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDir, npmFailed, npmProgram } from './node.mjs';
import { capture, LaunchError, step } from './progress.mjs';

const NAME = '@confluentinc/kafka-javascript';
/** The one that src/kafka/librdkafka stands on; package.json names it as an optional peer. */
const VERSION = '1.10.1';

const NEEDS =
  'It needs Python 3, make, a C++ compiler and the headers of OpenSSL, zlib, zstd, SASL and curl ' +
  '(Debian: apt-get install build-essential python3 libssl-dev zlib1g-dev libzstd-dev libsasl2-dev libcurl4-openssl-dev)';

/** The folder of node_modules that holds it. */
export function librdkafkaModules(env = process.env) {
  const abi = `${process.platform}-${process.arch}-${process.versions.modules}`;
  return join(cacheDir(env), `librdkafka-${VERSION}-${abi}`, 'node_modules');
}

const isBuilt = (env = process.env) => existsSync(join(librdkafkaModules(env), NAME));

/** Some minutes the first time; later calls find what it made. Throws LaunchError with what is missing. */
export async function buildLibrdkafka(env = process.env) {
  if (isBuilt(env)) return;
  const folder = dirname(librdkafkaModules(env));
  await mkdir(dirname(folder), { recursive: true });
  // Whole under another name first: an interrupted build leaves nothing that looks like one.
  const fresh = await mkdtemp(`${folder}.`);
  try {
    await step(`Building ${NAME} ${VERSION} into ${folder} (once, some minutes)`, () => make(fresh, env));
    await rename(fresh, folder).catch((error) => {
      // Another build was faster; what it made is the same.
      if (!isBuilt(env)) throw error;
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function make(folder, env) {
  const build = `cd node_modules/${NAME} && node-gyp rebuild`;
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, scripts: { build } }));
  const npm = (...args) => {
    const options = { cwd: folder, env: { ...env, ...headers(), CKJS_LINKING: 'dynamic' } };
    return capture(process.execPath, [npmProgram(env), ...args], options);
  };
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const installed = await npm('install', ...flags, `${NAME}@${VERSION}`);
  if (installed.code !== 0) throw new LaunchError(npmFailed(`fetch ${NAME} ${VERSION}`, installed.said));
  // npm brings node-gyp along. Without -j: the build of librdkafka does not know of its own steps' order.
  const built = await npm('run', 'build');
  const module = join(folder, 'node_modules', NAME);
  const loads = built.code === 0 && (await capture(process.execPath, ['-e', `require(${JSON.stringify(module)})`]));
  if (loads && loads.code === 0) return;
  const said = (loads ? loads.said : built.said).trim().split('\n');
  throw new LaunchError(
    `${NAME} ${VERSION} could not be built. ${NEEDS}. The last it said:\n  ${said.slice(-15).join('\n  ')}`,
  );
}

/** The Node packages of npm bring their headers; without them node-gyp downloads those of this version. */
function headers() {
  const folder = dirname(dirname(process.execPath));
  return existsSync(join(folder, 'include', 'node', 'node.h')) ? { npm_config_nodedir: folder } : {};
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await buildLibrdkafka();
    process.stdout.write(`${librdkafkaModules()}\n`);
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
