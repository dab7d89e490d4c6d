/** `weir shards …` and `weir route`: what is asked of the leader, by Kafka itself, so that no API has to be reached. */
import { pause } from '../abortable.ts';
import type { AcceptedDocument, RouteDocument } from '../api/documents.ts';
import type { InstallationView } from '../api/installation-view.ts';
import { coordinate, type OperationOptions } from '../coordination/operations.ts';
import type { ControlState } from '../coordination/state.ts';
import { type Wish, wishText } from '../coordination/wishes.ts';
import { WeirError } from '../errors.ts';
import { wayOutText } from '../runtime/ring-waiting.ts';
import type { Signal } from '../signals.ts';
import { changeWaits } from './change-texts.ts';
import { shardText } from './shard-texts.ts';
import { print, type ViewCommand, withView } from './with-view.ts';

interface ShardsCommand extends ViewCommand {
  /** Aborted by Ctrl-C: the request is cancelled, or no longer waited for. */
  readonly signal: AbortSignal;
}

/** Short enough that nobody waits long for the lock of a command that died, long enough to be renewed across a change of the leader. */
const LOCK_TTL_MS = 30_000;

/**
 * One change of the ring is in flight at a time, and commands line up for it by a lock. `abandon` and `cancel` do not: they act on the change that holds up the
 * line.
 * Throws REQUEST_REFUSED, REQUEST_UNANSWERED and, when it was to be waited for, RING_STUCK.
 */
export async function askForShards(wish: Wish, wait: boolean, command: ShardsCommand): Promise<void> {
  const { stdout, json, signal } = command;
  await withView(command, async (view) => {
    const change: Change = async (under) => {
      const accepted = await view.ask(wish, { signal, fence: under?.fence });
      const { ringEpoch, text } = accepted;
      if (ringEpoch === null) return { accepted, active: false };
      if (!json) stdout.write(`Ring epoch ${ringEpoch} is proposed: ${text}.\n`);
      const stop = under ? AbortSignal.any([signal, under.signal]) : signal;
      return {
        accepted,
        active: wait && (await becomesActive(view, ringEpoch, { ...command, signal: stop })),
      };
    };
    const alone = wish.kind === 'abandon' || wish.kind === 'cancel';
    const { accepted, active } = alone ? await change() : await inLine(view, wish, change, command);
    if (json) stdout.write(`${JSON.stringify({ ...accepted, active })}\n`);
    else if (accepted.ringEpoch === null) stdout.write(`It is done: ${accepted.text}.\n`);
    else if (active) stdout.write(`Ring epoch ${accepted.ringEpoch} is active.\n`);
    else stdout.write('It becomes active once every input partition has adopted it: `weir inspect ring`.\n');
  });
}

type Changed = { readonly accepted: AcceptedDocument; readonly active: boolean };
/** By itself, or under the lock. */
type Change = (under?: Parameters<OperationOptions<null, Changed>['execute']>[1]) => Promise<Changed>;

async function inLine(
  view: InstallationView,
  wish: Wish,
  change: Change,
  { config, stdout, json, signal }: ShardsCommand,
): Promise<Changed> {
  const what = wishText(wish);
  const { ackTimeoutMs } = config.control.ring;
  const ahead = aheadText(view.asker.log.state);
  if (ahead !== null && !json) stdout.write(`Waiting for its turn: ${ahead}.\n`);
  const outcome = await coordinate<null, Changed>(view.asker, {
    resource: 'ring',
    ttlMs: LOCK_TTL_MS,
    waitMs: ackTimeoutMs,
    timeoutMs: 2 * ackTimeoutMs,
    signal,
    propose: async () => ({ kind: 'proposed', proposal: null, what }),
    execute: (_, under) => change(under),
  });
  switch (outcome.kind) {
    case 'done':
      return outcome.result;
    case 'failed':
    case 'timed-out':
      throw outcome.cause;
    case 'interrupted':
      throw new WeirError(
        'REQUEST_REFUSED',
        `${what}: left in the middle (${outcome.why}); \`weir inspect ring\` shows what became of it`,
      );
    case 'lock-refused':
      throw new WeirError(
        'REQUEST_REFUSED',
        `${what}: ${outcome.why}. Nothing has changed; \`weir inspect ring\` shows what the change in flight waits for, and how to be rid of it`,
      );
    case 'proposal-refused':
      throw new WeirError('REQUEST_REFUSED', outcome.why);
  }
}

/** What a change that is asked for now has to wait for; null: nothing. */
export function aheadText({ locks, proposed }: Pick<ControlState, 'locks' | 'proposed'>): string | null {
  const held = locks.get('ring');
  if (held) return `${held.holder} has the lock ring${held.operation ? ` for "${held.operation.what}"` : ''}`;
  return proposed && `ring epoch ${proposed.ring.epoch} is in flight (${proposed.reason})`;
}

/** How often it is looked whether the change is active. */
const CHECK_MS = 200;

/** false: the command was stopped before. */
async function becomesActive(
  view: InstallationView,
  epoch: number,
  { config, signal }: ShardsCommand,
): Promise<boolean> {
  const { ackTimeoutMs } = config.control.ring;
  const until = performance.now() + ackTimeoutMs;
  while (!signal.aborted) {
    const { ringEpoch, change } = await view.topology();
    if (ringEpoch !== null && ringEpoch >= epoch) return true;
    if (performance.now() > until) {
      const why = change ? `${changeWaits(change)}. ${wayOutText(change)}` : 'another one is in flight';
      throw new WeirError(
        'RING_STUCK',
        `waiting for ring epoch ${epoch}: it is not active after ${ackTimeoutMs / 1_000} s; ${why}. It goes on without this command`,
      );
    }
    await pause(CHECK_MS, signal);
  }
  return false;
}

export async function showRoute(signal: Signal, key: string, command: ViewCommand): Promise<void> {
  await withView(command, async (view) => print(command, await view.route(signal, key), routeText));
}

/** Throws REQUEST_REFUSED when there is no such shard. */
export async function showShard(name: string, command: ViewCommand): Promise<void> {
  await withView(command, async (view) => {
    const { shards, windowSeconds } = await view.shards();
    const shard = shards.find((of) => of.name === name);
    if (!shard)
      throw new WeirError(
        'REQUEST_REFUSED',
        `there is no shard ${name}; \`weir shards list\` shows those that there are`,
      );
    print(command, shard, () => shardText(shard, windowSeconds));
  });
}

export function routeText({ signal, key, routedBy, keyHash, now, pending }: RouteDocument): string {
  const to = ({ name, topic, slot, ringEpoch }: RouteDocument['now']) =>
    name === null
      ? `all shards, each item by its trace id (by an override, ring epoch ${ringEpoch})`
      : `${name} (topic ${topic}, ${slot === null ? 'by an override' : `slot ${slot}`}, ring epoch ${ringEpoch})`;
  const later = pending ? `after     ${to(pending)}\n` : '';
  const noTraceId = routedBy === 'trace_id' && !/^([0-9a-f]{32}|0x[0-9a-f]{16})$/i.test(key);
  const as = noTraceId ? 'no trace id: taken as the service.name of an item without one' : `${routedBy} of ${signal}`;
  return `key       ${key} (${as}, hash ${keyHash})\nnow       ${to(now)}\n${later}`;
}
