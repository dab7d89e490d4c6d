/**
 * The base policy of scaling, for one service of n instances; all numbers are `control.scaling` of the configuration.
 *
 * | rule | when | wish |
 * |---|---|---|
 * | cpu-high | mean CPU > cpuHigh | out, ceil(n * mean / cpuHighTarget) |
 * | memory-high | mean memory > memoryHigh | out, priority high, ceil(n * mean / memoryTarget), at least n + 1 |
 * | rps-high | mean RPS > maxRpsPerInstance | out, ceil(total / maxRpsPerInstance) |
 * | cpu-low | mean CPU < cpuLow and n > 1 | in, ceil(n * mean / cpuLowTarget), at least 1 |
 *
 * The largest wish to scale out wins. Scaling in is only considered if no rule wants to scale out. A wish for n instances is no wish. Means of CPU and memory
 * are over the instances that report them; where none does, the rule does not apply.
 */
import type { Reason, ScalingProposal } from './decision.ts';
import { percent, tenths } from './figures.ts';
import { meanOfKnown, type ServiceView } from './load-view.ts';
import type { ScalingPolicy } from './policy.ts';

/** null: the service stays as it is. */
export function scalingWish(service: ServiceView, policy: ScalingPolicy, windowMs: number): ScalingProposal | null {
  const n = service.instances.length;
  if (n === 0) return null;
  const cpu = meanOfKnown(service.instances.map((instance) => instance.cpu));
  const memory = meanOfKnown(service.instances.map((instance) => instance.memory));
  const totalRps = service.instances.reduce((sum, instance) => sum + instance.requestsPerSecond, 0);
  const meanRps = totalRps / n;

  const out: Required<Reason>[] = [];
  if (cpu !== null && above(cpu, policy.cpuHigh)) {
    const wish = wholeInstances((n * cpu) / policy.cpuHighTarget);
    const text = `mean CPU ${percent(cpu)} is above ${percent(policy.cpuHigh)}: ${instances(wish)} would bring it to ${percent(policy.cpuHighTarget)}`;
    out.push({ rule: 'cpu-high', observed: cpu, threshold: policy.cpuHigh, window: windowMs, wish, text });
  }
  if (memory !== null && above(memory, policy.memoryHigh)) {
    const wish = Math.max(n + 1, wholeInstances((n * memory) / policy.memoryTarget));
    const text = `mean memory ${percent(memory)} is above ${percent(policy.memoryHigh)}: ${instances(wish)} would relieve it`;
    out.push({ rule: 'memory-high', observed: memory, threshold: policy.memoryHigh, window: windowMs, wish, text });
  }
  if (above(meanRps, policy.maxRpsPerInstance)) {
    const wish = wholeInstances(totalRps / policy.maxRpsPerInstance);
    const text = `${tenths(meanRps)} requests/s an instance is above ${policy.maxRpsPerInstance}: ${instances(wish)} would serve ${tenths(totalRps)} requests/s`;
    out.push({
      rule: 'rps-high',
      observed: meanRps,
      threshold: policy.maxRpsPerInstance,
      window: windowMs,
      wish,
      text,
    });
  }
  const common = { kind: 'scaling', subject: service.service, from: n } as const;
  const reasons = out.filter(({ wish }) => wish > n).sort((a, b) => b.wish - a.wish);
  if (reasons.length > 0) {
    const priority = reasons.some(({ rule }) => rule === 'memory-high') ? 'high' : 'normal';
    return { ...common, action: 'scale_out', priority, to: reasons[0]!.wish, reasons };
  }
  if (out.length > 0 || cpu === null || !above(policy.cpuLow, cpu) || n === 1) return null;
  const wish = Math.max(1, wholeInstances((n * cpu) / policy.cpuLowTarget));
  if (wish >= n) return null;
  const text = `mean CPU ${percent(cpu)} is below ${percent(policy.cpuLow)}: ${instances(wish)} would bring it to ${percent(policy.cpuLowTarget)}`;
  const reason = { rule: 'cpu-low', observed: cpu, threshold: policy.cpuLow, window: windowMs, wish, text };
  return { ...common, action: 'scale_in', priority: 'normal', to: wish, reasons: [reason] };
}

/** `action from>to`. */
export function scalingFingerprint({ action, from, to }: ScalingProposal): string {
  return `${action} ${from}>${to}`;
}

/**
 * Whether a wish says more than the last decision, whose condition still holds: it goes in the other direction, from another number of instances, or further in
 * the same direction. So a wish that wavers between two targets is not news.
 */
export function scalingIsNews(wish: ScalingProposal, lastFingerprint: string): boolean {
  const last = /^(scale_out|scale_in) (\d+)>(\d+)$/.exec(lastFingerprint);
  if (!last || last[1] !== wish.action || Number(last[2]) !== wish.from) return true;
  return wish.action === 'scale_out' ? wish.to > Number(last[3]) : wish.to < Number(last[3]);
}

/** By more than a rounding error: the mean of three times 0.8 is 0.8000000000000002. */
function above(value: number, threshold: number): boolean {
  return value - threshold > 1e-9 * Math.max(1, threshold);
}

/** Rounds up, but not because of a mere rounding error. */
function wholeInstances(count: number): number {
  return Math.ceil(count - 1e-9);
}

const instances = (count: number) => (count === 1 ? '1 instance' : `${count} instances`);
