/** Runs a sender (`sender.ts`) to its end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { SenderLine, SenderOptions, SenderReport } from './sender.ts';

const SENDER = join(import.meta.dirname, 'sender.ts');

/** `onPhase` is told when the measured part begins and ends. A request that was refused is an error: nothing can be compared then. */
export async function send(
  options: SenderOptions,
  onPhase: (phase: SenderLine['phase']) => void = () => undefined,
): Promise<SenderReport & { readonly acceptedInAll: number }> {
  const sender = spawn(process.execPath, [SENDER, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(sender, 'exit');
  let report: SenderReport | undefined;
  let acceptedInAll: number | undefined;
  for await (const text of createInterface({ input: sender.stdout })) {
    const line: SenderLine = JSON.parse(text);
    onPhase(line.phase);
    if (line.phase === 'measured') report = line;
    if (line.phase === 'done') acceptedInAll = line.accepted;
  }
  await ended;
  const { target } = options;
  if (!report || acceptedInAll === undefined) throw new Error(`the sender to ${target} ended with ${sender.exitCode}`);
  if (report.refused > 0) throw new Error(`${target} refused ${report.refused} requests`);
  return { ...report, acceptedInAll };
}
