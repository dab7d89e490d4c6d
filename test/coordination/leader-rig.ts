/** A real leader on the in-process log, and members that ask it. */
import { pino } from 'pino';
import { type ControlLogFollower, followControlLog } from '../../src/coordination/control-log.ts';
import type { Asker } from '../../src/coordination/locks.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { createMetrics } from '../../src/metrics.ts';
import { type Names, namesFor } from '../../src/names.ts';
import { startController } from '../../src/runtime/controller.ts';
import { ensureTopics } from '../../src/topics/ensure-topics.ts';
import { kernels, testConfig } from './cluster.ts';

export interface LeaderRig {
  readonly port: KafkaPort;
  readonly names: Names;
  readonly log: ControlLogFollower;
  /** The leader's clock, which only the test moves: no lock ends by itself, however slow the machine. */
  readonly clock: { nowMs: number };
  asker(member: string): Asker;
  /** From then on nobody leads. */
  stopLeader(): Promise<void>;
  /** Another one than before. */
  nextLeader(): Promise<void>;
  close(): Promise<void>;
}

export async function startLeader(prefix: string): Promise<LeaderRig> {
  const of = testConfig(prefix);
  const config = { ...of, control: { ...of.control, tickMs: 5 } };
  const names = namesFor(prefix);
  const port = createMemoryKafka().connect();
  await ensureTopics(port.admin, { config, names });
  const [metrics, silent] = [createMetrics(), pino({ level: 'silent' })];
  const clock = { nowMs: Date.now() };
  const now = () => clock.nowMs;
  let leaders = 0;
  const start = () => {
    const memberName = `c-${++leaders}`;
    return startController({ port, names, config, kernels, metrics, log: silent, memberName, now });
  };
  let controller = await start();
  const log = await followControlLog(port, names);
  await log.waitFor(({ ring }) => ring !== null);
  return {
    port,
    names,
    log,
    clock,
    asker: (member) => ({ port, names, log, member }),
    stopLeader: () => controller.close(),
    async nextLeader() {
      await controller.close();
      controller = await start();
      await log.waitFor((state) => state.leaders.get('control')?.member === `c-${leaders}`);
    },
    async close() {
      await controller.close();
      await log.close();
      await port.close();
    },
  };
}
