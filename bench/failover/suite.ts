/**
 * How long an installation is without a leader when `weir control` is killed: from SIGKILL until a reader of the control log sees the next
 * LeaderElected. Real Apache Kafka; most of it is the session timeout, which the group waits for before it gives the partition to another.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { defaultConfig } from '../../src/config.ts';
import { type ControlLogFollower, followControlLog } from '../../src/coordination/control-log.ts';
import { startEmbedded } from '../../src/kafka/embedded.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import { namesFor } from '../../src/names.ts';
import { endWithRun } from '../child.ts';
import { type Row, verdictOf } from '../rows.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'dist', 'main.js');
const CASES = [
  { name: 'killed, session timeout 10 s (default)', prefix: 'failover-10.', sessionTimeoutMs: 10_000, allowedS: 15 },
  { name: 'killed, session timeout 2 s', prefix: 'failover-2.', sessionTimeoutMs: 2_000, allowedS: 5 },
];
/** After both are seen: the group has settled then. */
const SETTLE_MS = 3_000;

export async function run(
  { rounds }: { readonly rounds: number },
  say: (text: string) => void,
): Promise<readonly Row[]> {
  const broker = await startEmbedded({ ephemeral: true });
  const { kafka: settings } = defaultConfig({ kafka: { brokers: broker.brokers } });
  const kafka = await connectKafka(settings, pino({ level: 'silent' }));
  const rows: Row[] = [];
  try {
    for (const { name, prefix, sessionTimeoutMs, allowedS } of CASES) {
      const env = {
        ...process.env,
        WEIR_KAFKA: broker.brokers,
        WEIR_PREFIX: prefix,
        WEIR_KAFKA_SESSION_TIMEOUT_MS: String(sessionTimeoutMs),
        WEIR_API_PORT: '0',
        WEIR_LOG_LEVEL: 'error',
      };
      await once(weir(['topics', '--create'], env), 'exit');
      const log = await followControlLog(kafka, namesFor(prefix));
      const seconds: number[] = [];
      try {
        for (let round = 1; round <= rounds; round++) {
          seconds.push(await failOver(log, () => weir(['control'], env)));
          say(`${name}: ${seconds.at(-1)!.toFixed(2)} s`);
        }
      } finally {
        await log.close();
      }
      const value = Math.max(...seconds);
      const goal = { must: 1 };
      const ratio = allowedS / value;
      rows.push({
        ...{ name: 'failover', case: name, value, unit: 's, slowest', peer: 'allowed', peer_value: allowedS },
        ...{ ratio, goal, verdict: verdictOf(ratio, goal) },
      });
    }
  } finally {
    await kafka.close();
    await broker.stop();
  }
  return rows;
}

/** Two of them, of which the leader is killed; both are gone when it resolves. */
async function failOver(log: ControlLogFollower, start: () => ChildProcess): Promise<number> {
  const children = [start(), start()];
  const isOf = ({ pid }: ChildProcess, member: string) => member.includes(`-${pid}-`);
  try {
    const leads = (member: string | undefined) => children.find((child) => member && isOf(child, member));
    await log.waitFor(({ leaders, members }) => {
      const seen = children.every((child) => [...members.keys()].some((member) => isOf(child, member)));
      return seen && leads(leaders.get('control')?.member) !== undefined;
    });
    await delay(SETTLE_MS);
    const leader = log.state.leaders.get('control')!;
    leads(leader.member)!.kill('SIGKILL');
    const killedAt = performance.now();
    await log.waitFor(({ leaders }) => leaders.get('control')!.leaderEpoch > leader.leaderEpoch);
    return (performance.now() - killedAt) / 1_000;
  } finally {
    const running = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    for (const child of running) child.kill('SIGTERM');
    await Promise.all(running.map((child) => once(child, 'exit')));
  }
}

function weir(args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  endWithRun(child);
  return child;
}
