/** assembly/ -> build/weir.wasm and src/ -> dist/, each only where it is stale. */
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { capture, LaunchError, step } from './progress.mjs';
import { hashOf, isStamped, writeStamp } from './stamp.mjs';

/** What is made, from what, and by which program of node_modules. The stamp is in the folder that is made. */
export const PRODUCTS = [
  {
    what: 'the WASM kernels',
    folder: 'build',
    from: ['assembly', 'asconfig.json', 'package-lock.json'],
    command: (fresh) => [
      'node_modules/assemblyscript/bin/asc.js',
      'assembly/index.ts',
      ...['--config', 'asconfig.json', '--target', 'release', '--outFile', join(fresh, 'weir.wasm')],
    ],
  },
  {
    what: 'the program',
    folder: 'dist',
    from: ['src', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'],
    command: (fresh) => ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--outDir', fresh],
  },
];

const stampFile = (root, product) => join(root, product.folder, '.weir-stamp');

export const isStale = (root, product) => !isStamped(stampFile(root, product), hashOf(root, product.from));

/**
 * @param {string} root the checkout
 * @param {string} node the Node to run the compilers with
 */
export async function build(root, node) {
  for (const product of PRODUCTS) {
    if (isStale(root, product)) await step(`Building ${product.what}`, () => make(root, node, product));
  }
}

async function make(root, node, product) {
  const hash = hashOf(root, product.from);
  // Made beside and moved into place whole, so that files whose source is gone go too, and a start during a build that
  // another start does never runs half of it.
  const fresh = `${product.folder}.${process.pid}`;
  try {
    await mkdir(join(root, fresh), { recursive: true });
    const { code, said } = await capture(node, product.command(fresh), { cwd: root });
    if (code !== 0) {
      throw new LaunchError(`${said.trim()}\nBuilding ${product.what} failed: the compiler's reasons are above.`);
    }
    writeStamp(join(root, fresh, '.weir-stamp'), hash);
    await rm(join(root, product.folder), { recursive: true, force: true });
    await rename(join(root, fresh), join(root, product.folder));
  } finally {
    await rm(join(root, fresh), { recursive: true, force: true });
  }
}
