/** `weir shards …` and `weir route` on the command line. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Wish } from '../coordination/wishes.ts';
import { SIGNALS, type Signal } from '../signals.ts';
import { stopSignal } from './exit.ts';
import { positiveNumber } from './numbers.ts';
import { REMOTE_FLAGS, type SettingOptions, settingsOf, withSettings } from './settings.ts';
import type { ViewCommand } from './with-view.ts';

const signalOption = () => new Option('--signal <name>', 'of which signal').choices(SIGNALS).default('traces');

export function addShards(program: Command): void {
  const shards = program
    .command('shards')
    .description('show the shards, and change them: nothing is lost or doubled, and no topic is ever deleted')
    .helpCommand(false)
    .addHelpText(
      'after',
      '\nExamples:\n  weir shards list\n  weir shards create checkout --signal traces\n  weir shards move --from traces-0003 --to traces-0007 --slots 200\n  weir shards abandon',
    );
  addLooks(shards);
  const add = (usage: string, description: string, wishOf: (names: string[], options: ShardFlags) => Wish) =>
    withSettings(shards.command(usage).description(description), REMOTE_FLAGS)
      .option('--no-wait', 'do not wait until the new ring epoch is active')
      .option('--json', 'print JSON instead')
      .action(async (...args: unknown[]) => {
        // Commander hands over the arguments, the options and the command.
        const flags = args.at(-2) as ShardFlags;
        const wish = wishOf(args.slice(0, -2) as string[], flags);
        const { config, log } = await settingsOf(flags);
        const { askForShards } = await import('./shards.ts');
        const command = { config, log, stdout: process.stdout, json: flags.json ?? false, signal: stopSignal() };
        await askForShards(wish, flags.wait, command);
      });
  add('create <name>', 'a new shard, with a topic of its own, takes its share of the slots', ([name], options) => ({
    kind: 'create',
    signal: options.signal!,
    name: name!,
    capacity: options.capacity!,
  }))
    .addOption(signalOption())
    .option('--capacity <n>', 'the load that it is meant to carry; 1 is a usual shard', capacity, 1);
  add('split <shard>', 'half of its load goes to a new shard', ([shard]) => ({ kind: 'split', shard: shard! }));
  add('merge <shard> <into>', 'all that the first has goes to the second', ([shard, into]) => ({
    kind: 'merge',
    shard: shard!,
    into: into!,
  }));
  add('retire <shard>', 'all that it has goes to the others; its topic stays', ([shard]) => ({
    kind: 'retire',
    shard: shard!,
  }));
  add('move', 'slots of one shard go to another', (_, { from, to, slots }) => ({
    kind: 'move',
    from: from!,
    to: to!,
    slots: slots!,
  }))
    .requiredOption('--from <shard>', 'that loses them')
    .requiredOption('--to <shard>', 'that gains them')
    .requiredOption('--slots <n>', 'how many', positiveNumber);
  add('abandon', 'take the change in flight back', () => ({ kind: 'abandon' }));
  add('cancel <id>', 'take a change back that waits behind the one in flight', ([id]) => ({ kind: 'cancel', id: id! }));
}

/** Commands that only look. */
function addLooks(shards: Command): void {
  const add = (usage: string, description: string, look: (names: string[], command: ViewCommand) => Promise<void>) =>
    withSettings(shards.command(usage).description(description), REMOTE_FLAGS)
      .option('--json', 'print JSON instead')
      .action(async (...args: unknown[]) => {
        const { json, ...options } = args.at(-2) as ShardFlags;
        const { config, log } = await settingsOf(options);
        await look(args.slice(0, -2) as string[], { config, log, stdout: process.stdout, json: json ?? false });
      });
  add('list', 'all of them with their load, as `weir inspect shards`', async (_, command) => {
    const { inspect } = await import('./inspect.ts');
    await inspect('shards', { ...command, last: 0 });
  });
  add('show <shard>', 'one of them: id, topic, hash ranges, capacity, load, health', async ([shard], command) => {
    const { showShard } = await import('./shards.ts');
    await showShard(shard!, command);
  });
}

/** As commander names them. */
interface ShardFlags extends SettingOptions {
  readonly wait: boolean;
  readonly json?: boolean;
  readonly signal?: Signal;
  readonly capacity?: number;
  readonly from?: string;
  readonly to?: string;
  readonly slots?: number;
}

export function addRoute(program: Command): void {
  withSettings(
    program
      .command('route')
      .argument('<key>', 'a trace id in hex, another routing key as text, or a hash: 0x and 16 hex digits', routingKey)
      .description('the shard that a key goes to, now and after the change in flight'),
    REMOTE_FLAGS,
  )
    .addOption(signalOption())
    .option('--json', 'print JSON instead')
    .action(async (key: string, { signal, json, ...options }: ShardFlags) => {
      const { config, log } = await settingsOf(options);
      const { showRoute } = await import('./shards.ts');
      await showRoute(signal!, key, { config, log, stdout: process.stdout, json: json ?? false });
    });
}

function routingKey(text: string): string {
  if (text === '') throw new InvalidArgumentError('Allowed: a text that is not empty.');
  return text;
}

function capacity(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1_000)) throw new InvalidArgumentError('Allowed: a number above 0, at most 1000.');
  return value;
}
