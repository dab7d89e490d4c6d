/** What is told of trouble that parts of Kafka make and get over by themselves. */
import type { Log } from './log.ts';

/** Two causes within this are one spell of trouble. */
const SPELL_MS = 30_000;

/**
 * A warning for trouble that comes again; what comes once, such as a coordinator that is still loading, or the leader of a
 * topic that was made a moment ago, is over before anyone could look and goes to the debug log.
 */
export function lastingTrouble(log: Log, text: string, now: () => number = () => performance.now()) {
  let last = Number.NEGATIVE_INFINITY;
  return (cause: Error): void => {
    const again = now() - last < SPELL_MS;
    last = now();
    log[again ? 'warn' : 'debug']({ cause: cause.message }, text);
  };
}
