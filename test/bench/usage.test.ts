import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { cpuBetween, cpuSecondsOf, peakRssMb, rssMb } from '../../bench/usage.ts';

const onLinux = process.platform === 'linux';

describe.skipIf(!onLinux)('what a process has cost', () => {
  it('grows with its work, and with that of its children', async () => {
    const before = cpuSecondsOf(process.pid);
    const child = spawn(process.execPath, ['-e', `while (process.cpuUsage().user < 100_000); process.send('done')`], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    try {
      await once(child, 'message');
      const alone = cpuSecondsOf(child.pid as number);
      const { user, system } = cpuBetween(before, cpuSecondsOf(process.pid));
      expect(alone.user + alone.system).toBeGreaterThanOrEqual(0.09);
      expect(user + system).toBeGreaterThanOrEqual(alone.user + alone.system);
      expect(peakRssMb(process.pid)).toBeGreaterThan(peakRssMb(child.pid as number));
    } finally {
      child.kill();
      await once(child, 'exit');
    }
  });

  it('is about what the process says itself', () => {
    expect(rssMb(process.pid)).toBeGreaterThan(20);
    const { user, system } = cpuSecondsOf(process.pid);
    const own = process.cpuUsage();
    expect(user + system).toBeCloseTo((own.user + own.system) / 1e6, 0);
  });

  it('is nothing once it has ended', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    expect(cpuSecondsOf(child.pid as number)).toEqual({ user: 0, system: 0 });
  });
});
