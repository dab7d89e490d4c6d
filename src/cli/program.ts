/** The command line: its commands, their flags and help. What a command does is loaded when it runs, so that help is quick. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { MAX_DECISIONS } from '../api/documents.ts';
import type { LoadOptions } from '../loadgen/command.ts';
import { EXIT, stopSignal } from './exit.ts';
import type { InspectSubject } from './inspect.ts';
import { countTo, positiveNumber, wholeNumber } from './numbers.ts';
import { REMOTE_FLAGS, type SettingOptions, settingsOf, withSettings } from './settings.ts';
import { addRoute, addShards } from './shard-commands.ts';
import { weirVersion } from './version.ts';

const ROLES = {
  up: 'all roles in one process, on an embedded broker unless --kafka names one',
  bridge: 'takes OTLP from exporters and puts it on Kafka',
  process: 'splits the ingest topics by routing key into shard topics, exactly once',
  control: 'watches the load and decides when to scale and what to move',
} as const;
type Role = keyof typeof ROLES;

const EXAMPLES = `
Examples:
  weir up                                     everything, with demo traffic, on an embedded broker
  weir up --no-demo --kafka kafka-1:9092      everything, on your Kafka
  weir process --config weir.yaml --prefix staging.
  weir inspect shards --kafka kafka-1:9092
  weir topics --print --prefix staging.       commands for kafka-topics.sh

Every setting may also come from the environment (WEIR_KAFKA, WEIR_GRPC_PORT, WEIR_ROUTING_TRACES_SHARDS, ...) or a
file (--config, WEIR_CONFIG). Flags win over the environment, that over the file, that over the defaults.`;

/** Runs one command. Its exit code; errors other than of the command line itself are thrown. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = buildProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(withDefaultRole(args), { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has printed what there is to say: help and versions on stdout, misuse on stderr.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    throw error;
  }
}

/** `weir` and `weir --no-demo` mean `weir up`. */
function withDefaultRole(args: readonly string[]): string[] {
  const [first] = args;
  const ownFlag = first !== undefined && ['-h', '--help', '-V', '--version'].includes(first);
  return first === undefined || (first.startsWith('-') && !ownFlag) ? ['up', ...args] : [...args];
}

/** For the documentation's tests too. */
export function buildProgram(exitWith: (code: number) => void): Command {
  const program = new Command('weir')
    .description('A stream processor for OpenTelemetry (OTLP) traffic on Kafka.')
    .version(weirVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help; `weir COMMAND --help` that of a command')
    .helpCommand(false)
    .usage('[COMMAND] [flags]   (no command: up)')
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError('(`weir --help` and `weir COMMAND --help` tell what there is)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'weir: ')) })
    .exitOverride();
  for (const role of Object.keys(ROLES) as Role[]) addRole(program, role);
  addInspect(program);
  addShards(program);
  addRoute(program);
  addTopics(program);
  addConfig(program, exitWith);
  addLoad(program);
  program
    .command('version')
    .description('print the versions of Weir and of what it runs on')
    .action(() => {
      process.stdout.write(
        `weir ${weirVersion()} on Node ${process.versions.node} (${process.platform} ${process.arch})\n`,
      );
    });
  return program;
}

function addRole(program: Command, role: Role): void {
  const command = program.command(role).description(ROLES[role]);
  const examples = {
    up: [
      'weir up',
      'weir up --no-demo --kafka kafka-1:9092,kafka-2:9092',
      'weir up --grpc-port 0 --http-port 0 --api-port 0',
    ],
    bridge: ['weir bridge --kafka kafka-1:9092 --host 0.0.0.0'],
    process: ['weir process --kafka kafka-1:9092 --api-port 8081'],
    control: ['weir control --kafka kafka-1:9092 --api-port 8082'],
  }[role];
  withSettings(command)
    .addHelpText('after', `\nExamples:\n  ${examples.join('\n  ')}`)
    .action(async (options: SettingOptions) => {
      const { config, log: base } = await settingsOf(options);
      const log = base.child({ role });
      const signal = stopSignal((name) => log.info(`${name}: draining; once more ends at once`));
      await (await roleOf(role))(config, { log, stdout: process.stdout, signal });
    });
}

async function roleOf(role: Role) {
  switch (role) {
    case 'up':
      return (await import('../roles/up.ts')).runUp;
    case 'bridge':
      return (await import('../roles/bridge.ts')).runBridge;
    case 'process':
      return (await import('../roles/process.ts')).runProcess;
    case 'control':
      return (await import('../roles/control.ts')).runControl;
  }
}

function addInspect(program: Command): void {
  const subjects: Record<InspectSubject, string> = {
    shards: 'each shard: topic, share of the slots, load, health',
    ring: 'the ring epoch in force: keys, slots, shards, overrides; a change in flight and what it waits for',
    members: 'who leads, who works here under which load, and who has left or is lost',
    locks: 'who holds which lock, who waits, and what became of operations',
    decisions: 'the last decisions, with what became of them',
    lag: 'what is not yet processed, by topic and partition',
  };
  const inspect = program
    .command('inspect')
    .description('read the state of an installation from Kafka')
    .helpCommand(false);
  inspect.addHelpText(
    'after',
    '\nExamples:\n  weir inspect shards\n  weir inspect decisions --last 3 --kafka kafka-1:9092 --json',
  );
  for (const [subject, description] of Object.entries(subjects)) {
    const command = inspect.command(subject).description(description);
    if (subject === 'decisions') command.option('-n, --last <n>', 'how many', countTo(MAX_DECISIONS), 20);
    withSettings(command, REMOTE_FLAGS)
      .option('--json', 'print JSON instead of a table')
      .action(async ({ json, last, ...options }: SettingOptions & { json?: boolean; last?: number }) => {
        const { config, log } = await settingsOf(options);
        const { inspect: run } = await import('./inspect.ts');
        await run(subject as InspectSubject, {
          config,
          log,
          stdout: process.stdout,
          json: json ?? false,
          last: last ?? 20,
        });
      });
  }
}

function addTopics(program: Command): void {
  withSettings(
    program
      .command('topics')
      .description('the topics of an installation: print the commands that create them, or create them'),
    REMOTE_FLAGS,
  )
    .addOption(new Option('--print', 'print commands for kafka-topics.sh (the default)').conflicts('create'))
    .option('--create', 'create what is missing, check the rest, and write ring epoch 1')
    .option('--json', 'print JSON instead')
    .addHelpText(
      'after',
      '\nExamples:\n  weir topics --print --kafka kafka-1:9092 --prefix staging. > topics.sh\n  weir topics --create --kafka kafka-1:9092',
    )
    .action(
      async ({
        create,
        print: _,
        json,
        ...options
      }: SettingOptions & { create?: boolean; print?: boolean; json?: boolean }) => {
        const { config, log } = await settingsOf(options);
        const { createTopics, printTopics } = await import('./topics.ts');
        if (create) await createTopics({ config, log, stdout: process.stdout, json: json ?? false });
        else printTopics({ config, stdout: process.stdout, json: json ?? false });
      },
    );
}

function addConfig(program: Command, exitWith: (code: number) => void): void {
  const config = program.command('config').description('check settings').helpCommand(false);
  config
    .command('check')
    .argument('<file>', 'YAML or JSON')
    .description('check a file (with the environment over it) and show the settings that differ from their defaults')
    .action(async (file: string) => {
      const { checkConfig } = await import('./config-check.ts');
      exitWith(checkConfig(file, process.env, process.stdout, process.stderr));
    });
  config
    .command('table', { hidden: true })
    .description('the table of settings, as in docs/settings.md')
    .action(async () => {
      const { settingsTable } = await import('../config/settings.ts');
      process.stdout.write(settingsTable());
    });
}

function addLoad(program: Command): void {
  program
    .command('load')
    .description('send generated OTLP traffic to a bridge or any other OTLP endpoint')
    .addOption(new Option('--protocol <name>', 'OTLP/gRPC or OTLP/HTTP').choices(['grpc', 'http']).default('grpc'))
    .option('--target <host:port>', 'where to (default: 127.0.0.1:4317, over HTTP 127.0.0.1:4318)', hostPort)
    .addOption(new Option('--signal <name>', 'what').choices(['traces', 'metrics', 'logs']).default('traces'))
    .option('--rate <n>', 'items a second; 0: as fast as the target answers', wholeNumber, 10_000)
    .option('--per-request <n>', 'items a request', positiveNumber, 100)
    .option('--seconds <n>', 'how long; 0: until Ctrl-C', wholeNumber, 0)
    .option('--connections <n>', 'connections', positiveNumber, 2)
    .option(
      '--max-in-flight <n>',
      'requests without an answer; what is due beyond counts as missed',
      positiveNumber,
      64,
    )
    .option('--gzip', 'compress', false)
    .option('--header <name=value>', 'a header of each request; may come more than once', addHeader)
    .option('--tls', 'over TLS; the target must have a certificate that Node trusts', false)
    .addOption(new Option('--tls-ca <file>', 'or one of these authorities (PEM)').implies({ tls: true }))
    .addOption(new Option('--tls-cert <file>', "the client's certificate (PEM), for mutual TLS").implies({ tls: true }))
    .addOption(new Option('--tls-key <file>', 'and its key').implies({ tls: true }))
    .option('--services <n>', 'services that seem to send', positiveNumber, 48)
    .option('--skew <n>', '0: all services send alike; 1.1: a few send most', fraction, 0)
    .option('--seed <n>', 'the same seed makes the same traffic', wholeNumber, 1)
    .addHelpText(
      'after',
      '\nExamples:\n  weir load --rate 50000 --seconds 30\n  weir load --protocol http --signal logs --gzip --target collector:4318 --header tenant=acme' +
        "\n  weir load --tls-ca authority.pem --header 'authorization=Bearer 4Yl2hQx0d7pTq1mB'",
    )
    .action(async ({ perRequest: itemsPerRequest, header: headers = {}, target, ...rest }: LoadFlags) => {
      // grpc-js names an address of the target as the TLS server name, which Node warns of: nothing that the user can see to.
      process.noDeprecation = true;
      const { describeSummary, runLoad } = await import('../loadgen/command.ts');
      const usual = rest.protocol === 'grpc' ? '127.0.0.1:4317' : '127.0.0.1:4318';
      const { tlsCa: caFile, tlsCert: certFile, tlsKey: keyFile } = rest;
      const tls = rest.tls ? { caFile, certFile, keyFile } : null;
      const wanted = { ...rest, itemsPerRequest, headers, tls, target: target ?? usual };
      const summary = await runLoad(wanted, { stdout: process.stdout, signal: stopSignal() });
      process.stdout.write(`${describeSummary(summary, wanted.signal)}\n`);
    });
}

/** As commander names them. */
interface LoadFlags extends Omit<LoadOptions, 'itemsPerRequest' | 'headers' | 'target' | 'tls'> {
  readonly perRequest: number;
  readonly header?: Record<string, string>;
  readonly target?: string;
  readonly tls: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

function hostPort(text: string): string {
  if (!/^(\[[0-9a-f:.]+\]|[^\s:/]+):\d{1,5}$/i.test(text))
    throw new InvalidArgumentError('Allowed: HOST:PORT, without http:// and without a path.');
  return text;
}

function fraction(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 10))
    throw new InvalidArgumentError('Allowed: a number from 0 to 10.');
  return value;
}

function addHeader(text: string, others: Record<string, string> = {}): Record<string, string> {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('Allowed: NAME=VALUE.');
  return { ...others, [name.toLowerCase()]: value };
}
