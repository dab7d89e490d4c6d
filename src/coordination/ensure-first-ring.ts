/** Ring epoch 1 before there is a leader: for `weir topics --create`. */
import { abortable } from '../abortable.ts';
import type { Config } from '../config.ts';
import { WeirError } from '../errors.ts';
import type { KafkaPort } from '../kafka/port.ts';
import type { HashKernel } from '../kernels/hash/kernel.ts';
import type { RingKernel } from '../kernels/ring/kernel.ts';
import type { Names } from '../names.ts';
import { followControlLog } from './control-log.ts';
import { encodeEvent, ringActiveEvent } from './events.ts';
import { firstRing } from './first-ring.ts';
import type { RingEpoch } from './ring-epoch.ts';
import { requireSameRouting } from './same-routing.ts';

export type FirstRingOutcome =
  | { readonly kind: 'written'; readonly ring: RingEpoch }
  /** The log held one already. */
  | { readonly kind: 'present'; readonly ring: RingEpoch };

/**
 * For `weir topics --create`: sees to it that there is a ring epoch, without a leader. Only when the log holds none it opens the leader's
 * sink; that fences a running leader (who is about to write the same epoch, and is elected again) and shuts out a second caller, so that the
 * look at the log after it is the last word. Throws ROUTING_MISMATCH when there is one that the configuration does not fit.
 */
export async function ensureFirstRing(
  port: KafkaPort,
  names: Names,
  config: Config,
  kernels: { readonly ring: RingKernel; readonly hash: HashKernel },
  options: { now?: () => number; signal?: AbortSignal } = {},
): Promise<FirstRingOutcome> {
  const { now = Date.now, signal } = options;
  const present = (ring: RingEpoch): FirstRingOutcome => {
    requireSameRouting(config, ring, kernels.hash);
    return { kind: 'present', ring };
  };
  const before = await readRing(port, names, signal);
  if (before) return present(before);
  for (let attempt = 1; ; attempt++) {
    const sink = await abortable(
      port.openSink({
        fencingKey: names.leaderKey('control'),
        groupId: names.controlGroup,
        transactionTimeoutMs: config.kafka.transactionTimeoutMs,
      }),
      signal,
    );
    try {
      const held = await readRing(port, names, signal);
      if (held) return present(held);
      const ring = firstRing(config, kernels.ring, kernels.hash);
      sink.stage(names.control, 0, encodeEvent(ringActiveEvent(ring, now())));
      const outcome = await sink.commit([]);
      // Kafka says committed a moment before readers see it; whoever starts after this has the ring.
      if (outcome.kind === 'committed') return { kind: 'written', ring: await awaitRing(port, names, signal) };
      // Whoever fenced this sink is about to write the epoch: opening again would only fence it in turn.
      if (outcome.kind === 'fenced') return present(await awaitRing(port, names, signal));
      if (attempt === MAX_ATTEMPTS)
        throw new WeirError(
          'KAFKA_UNREACHABLE',
          `writing ring epoch 1 to ${names.control}: ${attempt} transactions failed, the last one with: ${outcome.cause.message}. See to the brokers and run it again`,
          { cause: outcome.cause },
        );
    } finally {
      await sink.close();
    }
  }
}

const MAX_ATTEMPTS = 5;
/** Much longer than an election and its first write take. */
const OTHER_WRITER_TIMEOUT_MS = 30_000;

async function awaitRing(port: KafkaPort, names: Names, signal: AbortSignal | undefined): Promise<RingEpoch> {
  const timeout = AbortSignal.timeout(OTHER_WRITER_TIMEOUT_MS);
  const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
  const log = await followControlLog(port, names, { signal: either });
  try {
    return (await log.waitFor((state) => state.ring !== null, { signal: either })).ring!;
  } finally {
    await log.close();
  }
}

async function readRing(port: KafkaPort, names: Names, signal: AbortSignal | undefined): Promise<RingEpoch | null> {
  const log = await followControlLog(port, names, { signal });
  await log.close();
  return log.state.ring;
}
