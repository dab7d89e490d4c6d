/** The processor as a part of a process: waits for the ring, then works until it is closed. */
import { weirVersion } from '../cli/version.ts';
import { followControlLog } from '../coordination/control-log.ts';
import { requireSameRouting } from '../coordination/first-ring.ts';
import { routingOf } from '../coordination/ring-epoch.ts';
import { type Processor, startProcessor } from '../pipeline/processor.ts';
import { startLoadReporter } from '../pipeline/report.ts';
import { SIGNALS } from '../signals.ts';
import type { Part, RoleContext } from './run.ts';

const PATIENCE_MS = 2_000;

export async function startProcessPart(context: RoleContext): Promise<Part & { readonly processor: Processor | null }> {
  const { config, names, kafka, topics, kernels, metrics, log } = context;
  const closing = new AbortController();
  const follower = await followControlLog(kafka.port, names, { signal: closing.signal });
  let processor: Processor | null = null;

  const kernelTimer = countKernelSeconds();
  const done = run();
  // Raced by the role, which may not be listening yet.
  done.catch(() => undefined);

  async function run(): Promise<void> {
    // In `weir up` the controller is about to write it; only a longer wait is worth a word.
    const patience = setTimeout(() => {
      log.info(`waiting for ring epoch 1 on ${names.control}: start \`weir control\`, or run \`weir topics --create\``);
    }, PATIENCE_MS);
    const { ring } = await follower
      .waitFor((state) => state.ring !== null, { signal: closing.signal })
      .finally(() => clearTimeout(patience));
    if (ring === null) throw new TypeError('no ring');
    requireSameRouting(config, ring, kernels.hash);
    for (const signal of SIGNALS) kernels.split.setRouting(signal, routingOf(ring.signals[signal]));
    metrics.ringEpoch.set(ring.epoch);

    const reporter = startLoadReporter({
      producer: await kafka.port.producer(),
      topic: names.load,
      reporter: {
        id: context.member,
        role: 'process',
        version: weirVersion(),
      },
      intervalMs: config.load.reportIntervalMs,
      slotIntervalMs: config.load.slotIntervalMs,
      metrics,
      log,
    });
    reporter.setRingEpoch(ring.epoch);
    if (closing.signal.aborted) return reporter.close();
    processor = startProcessor({
      port: kafka.port,
      config,
      names,
      kernel: kernels.split,
      metrics,
      reporter,
      log,
      shardMaxMessageBytes: topics.shardMaxMessageBytes,
      deadLetterMaxMessageBytes: topics.deadLetterMaxMessageBytes,
      async ringEpoch(atLeast, signal) {
        const late = setTimeout(() => {
          log.warn(
            `an offset was committed under ring epoch ${atLeast}: waiting until ${names.control} is read as far`,
          );
        }, PATIENCE_MS);
        const reached = follower.waitFor(({ ring: known }) => known !== null && known.epoch >= atLeast, { signal });
        const state = await reached.finally(() => clearTimeout(late));
        return state.ring?.epoch ?? atLeast;
      },
    });
    await processor.done;
  }

  function countKernelSeconds(): NodeJS.Timeout {
    let counted = 0;
    return setInterval(() => {
      const { busySeconds } = kernels.split;
      metrics.kernelSeconds.inc(busySeconds - counted);
      counted = busySeconds;
    }, 250);
  }

  return {
    get processor() {
      return processor;
    },
    waitsFor() {
      if (processor === null) return `waiting for ring epoch 1 on ${names.control}`;
      return processor.joined ? null : 'waiting for the consumer group';
    },
    done,
    async close() {
      clearInterval(kernelTimer);
      closing.abort();
      await processor?.close();
      await follower.close();
    },
  };
}
