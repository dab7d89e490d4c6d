import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/metrics.ts';
import { startWorkers, type Workers } from '../../src/workers/supervisor.ts';
import { eventually } from '../support/eventually.ts';
import type { Orders } from './obedient-worker.ts';

const WORK: Orders = { ready: true, does: 'work' };
const HANG: Orders = { ready: true, does: 'hang' };
const FAIL: Orders = { ready: true, does: 'fail' };
/** A worker that says nothing is not killed for it while a test runs. */
const NEVER_MS = 3_600_000;

let workers: Workers | undefined;
afterEach(async () => workers?.close());

/** With how things are at that moment: what lasts for half a second may be over when a busy machine looks for it. */
interface LogLine {
  readonly worker?: number;
  readonly pid?: number;
  readonly level: number;
  readonly msg: string;
  readonly waitsFor?: string | null | undefined;
  /** Of `weir_worker_up`. */
  readonly up: Promise<readonly unknown[]>;
}

/** `ordersOf` is asked at each start of a worker; `runs` counts the starts. */
function start(count: number, ordersOf: (worker: number, run: number) => Orders, hungAfterMs?: number) {
  const lines: LogLine[] = [];
  const metrics = createMetrics();
  const stateNow = () => ({ waitsFor: workers?.waitsFor(), up: metrics.workerUp.get().then(({ values }) => values) });
  const runs = new Map<number, number>();
  workers = startWorkers({
    count,
    program: new URL('./obedient-worker.ts', import.meta.url),
    settingsOf(worker) {
      const run = runs.get(worker) ?? 0;
      runs.set(worker, run + 1);
      return ordersOf(worker, run);
    },
    metrics,
    log: pino({ base: null }, { write: (line) => lines.push({ ...JSON.parse(line), ...stateNow() }) }),
    ...(hungAfterMs && { hungAfterMs }),
  });
  const pidsOf = (worker: number) => lines.filter((line) => line.pid !== undefined && line.worker === worker);
  const restarts = async () => (await metrics.workerRestarts.get()).values;
  /** Once this is what the workers wait for, this one does what else it was ordered to. */
  const tell = async (worker: number, when: string | null = null) => {
    await eventually(() => expect(workers?.waitsFor()).toBe(when));
    process.kill(pidsOf(worker).at(-1)!.pid!, 'SIGUSR2');
  };
  return { workers, lines, runs, pidsOf, restarts, tell };
}

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('worker processes', () => {
  it('are ready when all are, and say which is not', async () => {
    const { workers } = start(3, (worker) => ({ ready: worker === 2, does: 'work' }));
    expect(workers.waitsFor()).toBe('worker 1, 2, 3: starting');
    await eventually(() => expect(workers.waitsFor()).toBe('worker 1, 3: its orders'));
  });

  it('show their metrics through the parent', async () => {
    const { workers } = start(2, () => WORK);
    await eventually(() => expect(workers.waitsFor()).toBeNull());
    const text = await workers.exposition();
    expect(text).toContain('weir_items_in_total{signal="traces",worker="1"} 1\n');
    expect(text).toContain('weir_items_in_total{signal="traces",worker="2"} 2\n');
    expect(text).toContain('weir_worker_up{worker="2"} 1\n');
  });

  it('are started again one by one, the others untouched', async () => {
    const { workers, lines, pidsOf, restarts } = start(2, () => WORK);
    await eventually(() => expect(workers.waitsFor()).toBeNull());
    process.kill(pidsOf(1)[0]!.pid!, 'SIGKILL');
    await eventually(() => expect(pidsOf(1)).toHaveLength(2));
    await eventually(() => expect(workers.waitsFor()).toBeNull());
    const [ended] = lines.filter(({ msg }) => msg.includes('ended'));
    expect(ended).toMatchObject({ worker: 1, waitsFor: 'worker 1: to be started again' });
    expect(await ended!.up).toContainEqual({ labels: { worker: '1' }, value: 0 });
    expect(pidsOf(2)).toHaveLength(1);
    expect(isAlive(pidsOf(2)[0]!.pid!)).toBe(true);
    expect(await restarts()).toEqual([{ labels: { worker: '1' }, value: 1 }]);
  });

  it('that hang are killed and started again', async () => {
    const { workers, lines, runs, tell } = start(1, (_, run) => (run === 0 ? HANG : WORK), 4_000);
    await tell(1);
    await eventually(() => expect(runs.get(1)).toBeGreaterThan(1));
    await eventually(() => expect(workers.waitsFor()).toBeNull());
    expect(lines.map(({ msg }) => msg)).toContainEqual(expect.stringContaining('did not answer'));
  });

  it('end their parent with an error that the user can see to, before any has worked', async () => {
    const { workers } = start(2, (worker) => ({ ready: false, does: worker === 2 ? 'fail' : 'work', atOnce: true }));
    await expect(workers.done).rejects.toMatchObject({ code: 'ROUTING_MISMATCH', message: 'the routing differs' });
  });

  it('tell their error also where their exit hangs', async () => {
    const orders: Orders = { ready: false, does: 'fail', atOnce: true, staysOnExit: true };
    const { workers, pidsOf } = start(1, () => orders, NEVER_MS);
    await expect(workers.done).rejects.toMatchObject({ code: 'ROUTING_MISMATCH', message: 'the routing differs' });
    expect(isAlive(pidsOf(1)[0]!.pid!)).toBe(false);
  });

  it('that fail alike later are started again', async () => {
    const { workers, runs, lines, tell } = start(1, (_, run) => (run === 0 ? FAIL : WORK));
    await tell(1);
    await eventually(() => expect(runs.get(1)).toBe(2));
    await eventually(() => expect(workers.waitsFor()).toBeNull());
    expect(lines).toContainEqual(expect.objectContaining({ code: 'ROUTING_MISMATCH', worker: 1 }));
  });

  it('that fail so while another works are started again', async () => {
    const orders = (worker: number, run: number): Orders => {
      if (worker === 1) return WORK;
      return run === 0 ? { ready: false, does: 'fail' } : WORK;
    };
    const { workers, runs, pidsOf, tell } = start(2, orders);
    await tell(2, 'worker 2: its orders');
    await eventually(() => expect(runs.get(2)).toBe(2));
    await eventually(() => expect(workers.waitsFor()).toBeNull());
    expect(pidsOf(1)).toHaveLength(1);
  });

  it('end their parent when another process has the place of one, whatever has worked', async () => {
    const { workers, runs, tell } = start(2, (worker) => (worker === 1 ? WORK : { ready: true, does: 'lose-place' }));
    await tell(2);
    await expect(workers.done).rejects.toMatchObject({ code: 'INSTANCE_ID_TAKEN', message: 'another has its place' });
    expect(runs.get(2)).toBe(1);
  });

  it('that crash from the start are tried again, ever slower', async () => {
    const { lines } = start(1, () => ({ ready: false, does: 'crash', atOnce: true }));
    await eventually(() =>
      expect(lines.filter(({ msg }) => msg.includes('with exit code 70')).length).toBeGreaterThan(1),
    );
    const waits = lines.flatMap(({ msg }) => /again in ([\d.]+) s/.exec(msg)?.[1] ?? []);
    expect(waits.slice(0, 2)).toEqual(['0.5', '1']);
  });

  it('drain and are gone when the parent closes', async () => {
    const { workers, pidsOf, lines } = start(2, () => WORK);
    await eventually(() => expect(workers.waitsFor()).toBeNull());
    await workers.close();
    for (const worker of [1, 2]) expect(isAlive(pidsOf(worker)[0]!.pid!)).toBe(false);
    expect(lines.filter(({ msg }) => msg.includes('ended'))).toEqual([]);
  });

  it('have drained for their parent, also where their exit hangs', async () => {
    const { workers, pidsOf, lines } = start(2, () => ({ ...WORK, staysOnExit: true }), NEVER_MS);
    await eventually(() => expect(workers.waitsFor()).toBeNull());
    await workers.close();
    for (const worker of [1, 2]) expect(isAlive(pidsOf(worker)[0]!.pid!)).toBe(false);
    expect(lines.filter(({ msg }) => msg.includes('ended'))).toEqual([]);
  });
});
