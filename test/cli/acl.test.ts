/** Runs every role on a broker that grants exactly the rows of the table in docs/kafka.md, each role its own and nothing else. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  Kafka,
  logLevel,
  ResourcePatternTypes,
} from 'kafkajs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type EmbeddedBroker, freePort, startEmbedded } from '../../src/kafka/embedded.ts';
import { eventually } from '../support/eventually.ts';
import { describeOnKafka } from '../support/real-kafka.ts';

const root = join(import.meta.dirname, '../..');
const PREFIX = 'acl.';
/** A broker, or three roles, on a machine that is busy with other tests; a few seconds on an idle one. */
const STARTS_MS = 60_000;
const USERS = ['bridge', 'process', 'control', 'topics', 'inspect', 'shards', 'nobody'] as const;
type User = (typeof USERS)[number];

interface Right {
  readonly user: string;
  readonly resource: 'topic' | 'group' | 'transactional id';
  readonly name: string;
  readonly operations: readonly string[];
}

function documentedRights(): Right[] {
  const text = readFileSync(join(root, 'docs/kafka.md'), 'utf8');
  const table = text.slice(text.indexOf('<!-- acl table')).split('\n\n')[0] ?? '';
  return [
    ...table.matchAll(
      /^\| ([a-z]+)(?: --create)? \| (topic|group|transactional id) \| `([^`]+)` \| ([A-Za-z, ]+) \|/gm,
    ),
  ].map(([, user, resource, name, operations]) => ({
    user: user!,
    resource: resource as Right['resource'],
    name: name!,
    operations: operations!.split(', '),
  }));
}

const RESOURCES = {
  topic: AclResourceTypes.TOPIC,
  group: AclResourceTypes.GROUP,
  'transactional id': AclResourceTypes.TRANSACTIONAL_ID,
} as const;
const OPERATIONS: Readonly<Record<string, AclOperationTypes>> = {
  Read: AclOperationTypes.READ,
  Write: AclOperationTypes.WRITE,
  Create: AclOperationTypes.CREATE,
  Describe: AclOperationTypes.DESCRIBE,
  DescribeConfigs: AclOperationTypes.DESCRIBE_CONFIGS,
};

async function grant(brokers: string, rights: readonly Right[]): Promise<void> {
  const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createAcls({
    acl: rights.flatMap(({ user, resource, name, operations }) =>
      operations.map((operation) => ({
        resourceType: RESOURCES[resource],
        resourceName: PREFIX + name.replace(/\*$/, ''),
        resourcePatternType: name.endsWith('*') ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
        principal: `User:${user}`,
        host: '*',
        operation: OPERATIONS[operation]!,
        permissionType: AclPermissionTypes.ALLOW,
      })),
    ),
  });
  await admin.disconnect();
}

describeOnKafka('a broker that grants the documented rights', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-acl-'));
  const running: { readonly child: ChildProcess; stderr: string }[] = [];
  let broker: EmbeddedBroker;
  let sasl: string;

  /** Runs `weir` as that user. */
  function weir(user: User, args: readonly string[]) {
    const env = {
      PATH: process.env.PATH ?? '',
      HOME: folder,
      WEIR_KAFKA: sasl,
      WEIR_PREFIX: PREFIX,
      WEIR_KAFKA_SASL_MECHANISM: 'plain',
      WEIR_KAFKA_SASL_USERNAME: user,
      WEIR_KAFKA_SASL_PASSWORD: `${user}-password`,
    };
    const child = spawn(process.execPath, [join(root, 'src/main.ts'), ...args], { env });
    const run = { child, stdout: '', stderr: '', ended: once(child, 'close').then(([code]) => code as number | null) };
    child.stdout.on('data', (chunk) => {
      run.stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      run.stderr += chunk;
    });
    running.push(run);
    return run;
  }

  async function done(user: User, args: readonly string[]) {
    const run = weir(user, args);
    return { code: await run.ended, stdout: run.stdout, stderr: run.stderr };
  }

  beforeAll(async () => {
    const listenPort = await freePort();
    const users = USERS.map((user) => `user_${user}="${user}-password"`).join(' ');
    broker = await startEmbedded({
      ephemeral: true,
      extraListeners: [{ name: 'LOGIN', listenPort, advertisedPort: listenPort, protocol: 'SASL_PLAINTEXT' }],
      settings: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        // The plain listener and the controller's: this test and the broker itself.
        'super.users': 'User:ANONYMOUS',
        'listener.name.login.sasl.enabled.mechanisms': 'PLAIN',
        'listener.name.login.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required ${users};`,
      },
    });
    sasl = `127.0.0.1:${listenPort}`;
    await grant(broker.brokers, documentedRights());
  }, STARTS_MS);

  afterAll(async () => {
    for (const { child } of running) child.kill('SIGKILL');
    await broker?.stop();
    rmSync(folder, { recursive: true });
  });

  it('refuses who has none, in a sentence', async () => {
    const { code, stderr } = await done('nobody', ['topics', '--create']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^.*weir: /m);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it(
    'lets topics be created, and traffic through every role',
    async () => {
      expect(await done('topics', ['topics', '--create'])).toMatchObject({
        stderr: expect.not.stringContaining('weir:'),
        code: 0,
        stdout: expect.stringContaining('Created 57 topics.\nRing epoch 1 written.\n'),
      });

      const [grpc, http, bridgeApi, processApi, controlApi] = await Promise.all([1, 2, 3, 4, 5].map(() => freePort()));
      const roles = [
        weir('bridge', ['bridge', '--grpc-port', `${grpc}`, '--http-port', `${http}`, '--api-port', `${bridgeApi}`]),
        weir('process', ['process', '--workers', '1', '--api-port', `${processApi}`]),
        weir('control', ['control', '--api-port', `${controlApi}`]),
      ];
      for (const port of [bridgeApi, processApi, controlApi])
        await eventually(async () => expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200));

      const load = ['load', '--target', `127.0.0.1:${grpc}`, '--rate', '1000', '--seconds', '2'];
      expect(await done('bridge', load)).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('requests accepted'),
      });

      const asked = async (subject: string) =>
        JSON.parse((await done('inspect', ['inspect', subject, '--json'])).stdout) as never;
      await eventually(async () => {
        const { shards }: { shards: { current_load: { items_per_second: number } }[] } = await asked('shards');
        expect(shards.filter(({ current_load: of }) => of.items_per_second > 0).length).toBeGreaterThan(8);
      });
      expect(await asked('lag')).toMatchObject({ totalRecords: 0 });
      expect(await asked('members')).toMatchObject({ leader: { member: expect.any(String) } });
      expect(await asked('decisions')).toMatchObject({ decisions: [] });
      expect(await done('shards', ['shards', 'create', 'extra'])).toMatchObject({
        stderr: expect.not.stringContaining('weir:'),
        code: 0,
        stdout: 'Ring epoch 2 is proposed: shard extra of traces is created.\nRing epoch 2 is active.\n',
      });
      expect(await done('shards', ['shards', 'list'])).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^extra +acl\.otlp_spans_shard_0016 /m),
      });
      expect(await done('shards', ['shards', 'show', 'extra'])).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('shard     extra (id 16, traces)\n'),
      });
      expect(await done('shards', ['shards', 'show', 'none'])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(
          'weir: there is no shard none; `weir shards list` shows those that there are\n',
        ),
      });
      const lag = await fetch(`http://127.0.0.1:${controlApi}/api/v1/lag`);
      expect(await lag.json()).toMatchObject({ totalRecords: 0 });

      for (const { child } of roles) child.kill('SIGTERM');
      expect(await Promise.all(roles.map(({ ended }) => ended))).toEqual([0, 0, 0]);
      for (const { stderr } of roles) expect(stderr).not.toMatch(/denied|not authori[sz]ed|authorization/i);
    },
    4 * STARTS_MS,
  );
});
