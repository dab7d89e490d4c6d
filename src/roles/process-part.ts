/** The processor as a part of a process: waits for the ring, then works until it is closed. */
import { followControlLog } from '../coordination/control-log.ts';
import { requireSameRouting } from '../coordination/same-routing.ts';
import { type Processor, startProcessor } from '../pipeline/processor.ts';
import { followRings } from '../pipeline/ring-source.ts';
import { startMemberReporter } from './member-reporter.ts';
import type { Part, RoleContext } from './run.ts';

/** The first controller on a broker that has just started needs some seconds for the first ring epoch. */
const PATIENCE_MS = 10_000;

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
    // Mostly a controller is about to write it; only a longer wait is worth a word.
    const waiting = `waiting for ring epoch 1 on ${names.control}`;
    log.debug(waiting);
    const patience = setTimeout(() => {
      log.info(`${waiting}: start \`weir control\`, or run \`weir topics --create\``);
    }, PATIENCE_MS);
    const { ring } = await follower
      .waitFor((state) => state.ring !== null, { signal: closing.signal })
      .finally(() => clearTimeout(patience));
    if (ring === null) throw new TypeError('no ring');
    requireSameRouting(config, ring, kernels.hash);

    const reporter = await startMemberReporter(context, 'process');
    const rings = followRings(follower, log);
    const showRing = () => {
      reporter.setRingEpoch(rings.newest.epoch);
      metrics.ringEpoch.set(rings.activeEpoch);
    };
    showRing();
    follower.onChange(showRing);
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
      rings,
    });
    // An event that this version does not know ends the process: routing on by what was known before would fork the installation.
    await Promise.race([processor.done, follower.done]);
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
