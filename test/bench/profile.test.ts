import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { breakdownOf } from '../../bench/pipeline/profile.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-profile-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A chain of calls from the root, and how long its last function ran, in us. */
type Stack = readonly [us: number, ...calls: readonly (readonly [functionName: string, url: string])[]];

function profileOf(stacks: readonly Stack[]) {
  const nodes = [{ id: 1, callFrame: { functionName: '(root)', url: '' }, children: [] as number[] }];
  const samples = stacks.map(([, ...calls]) => {
    let parent = nodes[0]!;
    for (const [functionName, url] of calls) {
      const node = { id: nodes.length + 1, callFrame: { functionName, url }, children: [] as number[] };
      parent.children.push(node.id);
      nodes.push(node);
      parent = node;
    }
    return parent.id;
  });
  return { startTime: 1_000, nodes, samples, timeDeltas: stacks.map(([us]) => us) };
}

const SINK = ['commit', 'file:///weir/dist/kafka/kafkajs/sink.js'] as const;
const CHECKSUM = ['update', 'file:///weir/dist/kernels/crc32c/wasm.js'] as const;

describe('where the time goes', () => {
  it('counts native and WASM functions as what calls them, and idleness not at all', () => {
    const profile = profileOf([
      [100, ['split', 'file:///weir/dist/kernels/split/wasm.js'], ['wasm-function[79]', 'wasm://wasm/0002']],
      [200, SINK, CHECKSUM, ['wasm-function[3]', 'wasm://wasm/0002']],
      [300, SINK, ['writeGeneric', 'node:internal/stream_base_commons'], ['writev', '']],
      [400, SINK, ['copy', 'node:buffer'], ['_copyActual', 'node:buffer']],
      [500, ['(garbage collector)', '']],
      [600, SINK, ['nextTick', 'node:internal/process/task_queues']],
      [700, ['count', 'file:///weir/dist/pipeline/processor.js']],
      [90_000, ['(idle)', '']],
    ]);
    writeFileSync(join(folder, 'one.cpuprofile'), JSON.stringify(profile));
    const total = 2_800;
    expect(breakdownOf(folder, [0, 1e9])).toEqual({
      kernel: 100 / total,
      checksum: 200 / total,
      sockets: 300 / total,
      Buffers: 400 / total,
      GC: 500 / total,
      'Kafka client': 600 / total,
      rest: 700 / total,
    });
  });

  it('is of the window alone', () => {
    // The first two samples end at 1,100 and 1,300 us.
    expect(breakdownOf(folder, [0, 1_300])).toMatchObject({ kernel: 1 / 3, checksum: 2 / 3, rest: 0 });
  });

  it('is read from what Node writes, on the clock of process.hrtime', () => {
    const real = mkdtempSync(join(folder, 'real-'));
    const busy = 'while (process.cpuUsage().user < 200_000);';
    const from = Number(process.hrtime.bigint() / 1_000n);
    const { status } = spawnSync(process.execPath, ['--cpu-prof', `--cpu-prof-dir=${real}`, '-e', busy]);
    expect(status).toBe(0);
    const to = Number(process.hrtime.bigint() / 1_000n);
    const breakdown = breakdownOf(real, [from, to]);
    expect(Object.values(breakdown).reduce((sum, share) => sum + share, 0)).toBeCloseTo(1);
    expect(breakdown.rest).toBeGreaterThan(0.2);
    expect(breakdown.kernel).toBe(0);
  });
});
