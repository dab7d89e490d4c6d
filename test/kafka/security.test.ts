/** Every way to encrypt and to log in, against real listeners: what works, and what a user reads where it does not. */
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  Kafka,
  logLevel,
  ResourcePatternTypes,
} from 'kafkajs';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type ConfigInput, defaultConfig } from '../../src/config.ts';
import { WeirError } from '../../src/errors.ts';
import { freePort } from '../../src/kafka/embedded.ts';
import { connectKafka } from '../../src/kafka/kafkajs/connect.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { eventually } from '../support/eventually.ts';
import { createTopics } from '../support/kafkajs-topics.ts';
import { describeOnKafka } from '../support/real-kafka.ts';
import {
  CLIENT_ID,
  PASSWORD,
  RESTRICTED_USER,
  SERVER_NAME,
  type SecuredBroker,
  startSecuredBroker,
  USER,
} from './security/secured-broker.ts';
import { startTokenEndpoint, unsecuredToken } from './security/token-endpoint.ts';

type KafkaInput = NonNullable<ConfigInput['kafka']>;

const CONNECT_TIMEOUT_MS = 5_000;
const WRONG_PASSWORD = 'wr0ng-passw0rd';
const log = pino({ level: 'silent' });
const connect = (kafka: KafkaInput) =>
  connectKafka(defaultConfig({ kafka: { connectTimeoutMs: CONNECT_TIMEOUT_MS, ...kafka } }).kafka, log);

async function open(kafka: KafkaInput): Promise<KafkaPort> {
  const port = await connect(kafka);
  onTestFinished(() => port.close());
  return port;
}

/** The error that a user gets to see. */
async function refusal(kafka: KafkaInput): Promise<WeirError> {
  const opened = await connect(kafka).then(
    async (port) => {
      await port.close();
      return undefined;
    },
    (error) => error,
  );
  expect(opened).toBeInstanceOf(WeirError);
  return opened;
}

/** Takes connections and says nothing; returns its port. */
async function startSilentServer(): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    onTestFinished(() => void socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

let topics = 0;

/** What the roles do: admin, a produce, a committed transaction, a read in a group. */
async function exercise(port: KafkaPort): Promise<void> {
  const name = `secured-${topics++}`;
  expect(await port.admin.createTopics([{ name, partitions: 1, config: { 'retention.ms': '3600000' } }])).toEqual([
    name,
  ]);
  expect(await port.admin.describeTopics([name])).toMatchObject([{ name, config: { 'retention.ms': '3600000' } }]);

  const producer = await port.producer();
  expect(await producer.send([{ topic: name, partition: 0, value: Buffer.from('plain') }])).toEqual([
    { kind: 'stored' },
  ]);

  const groupId = `${name}-group`;
  const sink = await port.openSink({ fencingKey: `${name}-key`, groupId, transactionTimeoutMs: 10_000 });
  sink.stage(name, 0, Buffer.from('transactional'));
  expect(await sink.commit([{ topic: name, partition: 0, offset: 1n }])).toEqual({ kind: 'committed' });
  expect(await port.admin.committedOffsets(groupId, name)).toMatchObject([{ offset: 1n }]);

  expect(await readInGroup(port, name, 2)).toEqual(['plain', 'transactional']);
}

async function readInGroup(port: KafkaPort, topic: string, count: number): Promise<string[]> {
  const read: string[] = [];
  let enough = () => {};
  const done = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const member = port.joinGroup(
    { groupId: `${topic}-readers`, topics: [topic], sessionTimeoutMs: 6_000 },
    {
      async run(partition) {
        await partition.seek('earliest');
        while (!partition.signal.aborted) {
          const outcome = await partition.poll(500);
          if (outcome.kind !== 'poll') continue;
          const { poll } = outcome;
          for (let i = 0; i < poll.count; i++) read.push(Buffer.from(poll.value(i)!).toString());
          poll.release();
          if (read.length >= count) enough();
        }
      },
    },
  );
  await Promise.race([done, member.done]);
  await member.close();
  return read;
}

describeOnKafka('a broker that wants encryption and log-ins', () => {
  let broker: SecuredBroker;

  beforeAll(async () => {
    broker = await startSecuredBroker();
  });
  afterAll(() => broker?.close());

  describe('TLS', () => {
    const trusting = () => ({ enabled: true, caFile: broker.authority.certFile });

    it('works with the authority from a file', async () => {
      await exercise(await open({ brokers: broker.at.TLS, tls: trusting() }));
    });

    it('works with a host name', async () => {
      const brokers = broker.at.TLS.replace('127.0.0.1', 'localhost');
      const port = await open({ brokers, tls: trusting() });
      expect(await port.admin.cluster()).toMatchObject({ brokers: 1 });
    });

    it('works with a client certificate and another server name', async () => {
      const { certFile, keyFile } = broker.client;
      await exercise(
        await open({
          brokers: broker.at.MUTUAL,
          tls: { ...trusting(), certFile, keyFile, serverName: SERVER_NAME },
        }),
      );
    });

    it('refuses a broker of an authority that it does not know', async () => {
      const unknown = await refusal({
        brokers: broker.at.TLS,
        tls: { enabled: true, caFile: broker.strangeAuthority.certFile },
      });
      expect(unknown).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('caFile') });
      const unlisted = await refusal({ brokers: broker.at.TLS, tls: { enabled: true } });
      expect(unlisted).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('caFile') });
    });

    it('refuses a broker whose certificate names another host', async () => {
      const error = await refusal({ brokers: broker.at.MUTUAL, tls: trusting() });
      expect(error).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('kafka.tls.serverName') });
    });

    it('says that a client certificate is missing, or is of an authority that the broker does not know', async () => {
      const tls = { ...trusting(), serverName: SERVER_NAME };
      const none = await refusal({ brokers: broker.at.MUTUAL, tls });
      expect(none).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('certFile') });
      const { certFile, keyFile } = broker.strangeClient;
      const strange = await refusal({ brokers: broker.at.MUTUAL, tls: { ...tls, certFile, keyFile } });
      expect(strange).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('certFile') });
    });

    it('names the file that is missing, is no certificate, or holds the key of another one', async () => {
      const missing = join(broker.folder, 'missing.pem');
      expect(await refusal({ brokers: broker.at.TLS, tls: { enabled: true, caFile: missing } })).toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(`kafka.tls.caFile: cannot read ${missing}`),
      });
      const garbage = join(broker.folder, 'garbage.pem');
      await writeFile(garbage, 'not a certificate');
      expect(await refusal({ brokers: broker.at.TLS, tls: { enabled: true, caFile: garbage } })).toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(`kafka.tls.caFile: ${garbage}`),
      });
      const mixed = { certFile: broker.client.certFile, keyFile: broker.strangeClient.keyFile };
      expect(await refusal({ brokers: broker.at.TLS, tls: { ...trusting(), ...mixed } })).toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(mixed.keyFile),
      });
    });

    it('says so where only one side speaks TLS', async () => {
      const plainClient = await refusal({ brokers: broker.at.TLS, connectTimeoutMs: 1_000 });
      expect(plainClient).toMatchObject({ message: expect.stringContaining('kafka.tls') });
      const plainBroker = await refusal({ brokers: broker.plain.brokers, tls: trusting(), connectTimeoutMs: 1_000 });
      expect(plainBroker).toMatchObject({ message: expect.stringContaining('kafka.tls') });
      const plainLogin = await refusal({
        brokers: broker.at.TLSLOGIN,
        sasl: { mechanism: 'plain', username: CLIENT_ID, password: PASSWORD },
        connectTimeoutMs: 1_000,
      });
      expect(plainLogin).toMatchObject({ message: expect.stringContaining('kafka.tls') });
    });
  });

  describe.each([
    { mechanism: 'plain', username: CLIENT_ID },
    { mechanism: 'scram-sha-256', username: USER },
    { mechanism: 'scram-sha-512', username: USER },
  ] as const)('SASL with $mechanism', ({ mechanism, username }) => {
    it('works', async () => {
      await exercise(await open({ brokers: broker.at.LOGIN, sasl: { mechanism, username, password: PASSWORD } }));
    });

    it('refuses a wrong password without showing it', async () => {
      const sasl = { mechanism, username, password: WRONG_PASSWORD };
      const error = await refusal({ brokers: broker.at.LOGIN, sasl });
      expect(error).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('kafka.sasl') });
      expect(everythingIn(error)).not.toContain(WRONG_PASSWORD);
    });
  });

  it('says so where only one side speaks SASL', async () => {
    const plainClient = await refusal({ brokers: broker.at.LOGIN, connectTimeoutMs: 1_000 });
    expect(plainClient).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('Set kafka.sasl') });
    const sasl = { mechanism: 'scram-sha-512', username: USER, password: PASSWORD } as const;
    const plainBroker = await refusal({ brokers: broker.plain.brokers, sasl });
    expect(plainBroker).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('Remove kafka.sasl') });
  });

  it('works with SASL on TLS, and tells which of the two is wrong', async () => {
    const tls = { enabled: true, caFile: broker.authority.certFile };
    const sasl = { mechanism: 'scram-sha-512', username: USER, password: PASSWORD } as const;
    await exercise(await open({ brokers: broker.at.TLSLOGIN, tls, sasl }));

    const wrong = await refusal({ brokers: broker.at.TLSLOGIN, tls, sasl: { ...sasl, password: WRONG_PASSWORD } });
    expect(wrong).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('kafka.sasl') });
    expect(wrong.message).not.toContain('kafka.tls');
    const unknown = { ...tls, caFile: broker.strangeAuthority.certFile };
    expect(await refusal({ brokers: broker.at.TLSLOGIN, tls: unknown, sasl })).toMatchObject({
      code: 'KAFKA_AUTH',
      message: expect.stringContaining('kafka.tls'),
    });
    expect(await refusal({ brokers: broker.at.TLSLOGIN, tls, connectTimeoutMs: 1_000 })).toMatchObject({
      message: expect.stringContaining('kafka.sasl'),
    });
  });

  describe('SASL with oauthbearer', () => {
    const clientSecret = 'c1ient/secret:+&';

    it('works with a token from a file, read at each log-in', async () => {
      const tokenFile = join(broker.folder, 'token');
      await writeFile(tokenFile, `${unsecuredToken(CLIENT_ID, 600_000)}\n`);
      const kafka = { brokers: broker.at.LOGIN, sasl: { mechanism: 'oauthbearer', tokenFile } } as const;
      await exercise(await open(kafka));

      const expired = unsecuredToken(CLIENT_ID, -60_000);
      await writeFile(tokenFile, expired);
      const error = await refusal(kafka);
      expect(error).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining('kafka.sasl') });
      expect(everythingIn(error)).not.toContain(expired);
      const missing = { ...kafka.sasl, tokenFile: `${tokenFile}.missing` };
      expect(await refusal({ ...kafka, sasl: missing })).toMatchObject({
        message: expect.stringContaining(`kafka.sasl.tokenFile: cannot read ${tokenFile}.missing`),
      });
    });

    it('works with client credentials, one token for all connections', async () => {
      const endpoint = await startTokenEndpoint({ clientId: CLIENT_ID, clientSecret, lifetimeMs: 600_000 });
      onTestFinished(() => endpoint.close());
      const sasl = {
        mechanism: 'oauthbearer',
        tokenEndpoint: endpoint.url,
        clientId: CLIENT_ID,
        clientSecret,
        scope: 'kafka.read kafka.write',
      } as const;
      await exercise(await open({ brokers: broker.at.LOGIN, sasl }));
      expect(endpoint.granted.map((form) => form.get('scope'))).toEqual(['kafka.read kafka.write']);

      const error = await refusal({ brokers: broker.at.LOGIN, sasl: { ...sasl, clientSecret: WRONG_PASSWORD } });
      expect(error).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining(endpoint.url) });
      expect(error.message).toContain('kafka.sasl');
      expect(everythingIn(error)).not.toContain(WRONG_PASSWORD);
    });

    it('names the token endpoint where that is what does not answer, or does not answer with a token', async () => {
      const gone = `http://127.0.0.1:${await freePort()}/token`;
      const sasl = { mechanism: 'oauthbearer', tokenEndpoint: gone, clientId: CLIENT_ID, clientSecret } as const;
      expect(await refusal({ brokers: broker.at.LOGIN, sasl })).toMatchObject({
        code: 'KAFKA_AUTH',
        message: expect.stringContaining(gone),
      });
      const tokenEndpoint = `http://127.0.0.1:${await startSilentServer()}/token`;
      const error = await refusal({
        brokers: broker.at.LOGIN,
        sasl: { ...sasl, tokenEndpoint },
        connectTimeoutMs: 1_000,
      });
      expect(error).toMatchObject({ code: 'KAFKA_AUTH', message: expect.stringContaining(tokenEndpoint) });
    });

    it('goes on past the end of its token', async () => {
      // A session ends with its token (KIP-368), and the broker then hangs up. Connections are renewed 10 s before.
      const lifetimeMs = 12_000;
      const endpoint = await startTokenEndpoint({ clientId: CLIENT_ID, clientSecret, lifetimeMs });
      onTestFinished(() => endpoint.close());
      const { url: tokenEndpoint } = endpoint;
      const sasl = { mechanism: 'oauthbearer', tokenEndpoint, clientId: CLIENT_ID, clientSecret } as const;
      const trouble: string[] = [];
      const told = pino({ level: 'warn' }, { write: (line) => void trouble.push(line) });
      const port = await connectKafka(defaultConfig({ kafka: { brokers: broker.at.LOGIN, sasl } }).kafka, told);
      onTestFinished(() => port.close());
      const topic = 'secured-renewed';
      await port.admin.createTopics([{ name: topic, partitions: 1, config: {} }]);
      const producer = await port.producer();
      const sink = await port.openSink({ fencingKey: 'renewed', groupId: 'renewed', transactionTimeoutMs: 10_000 });
      const started = performance.now();
      const reading = readInGroup(port, topic, 30);
      let sent = 0;
      while (sent < 30) {
        expect(await producer.send([{ topic, partition: 0, value: Buffer.from(`${sent++}`) }])).toEqual([
          { kind: 'stored' },
        ]);
        sink.stage(topic, 0, Buffer.from(`${sent++}`));
        expect(await sink.commit([])).toEqual({ kind: 'committed' });
        await new Promise((resolve) => setTimeout(resolve, lifetimeMs / 12));
      }
      expect(performance.now() - started).toBeGreaterThan(lifetimeMs);
      expect(await reading).toEqual(Array.from({ length: 30 }, (_, i) => `${i}`));
      expect(endpoint.granted.length).toBeGreaterThan(1);
      expect(trouble).toEqual([]);
    });
  });

  it('says within the connect timeout that no broker is there, or that what is there does not answer', async () => {
    const silent = await startSilentServer();
    for (const port of [await freePort(), silent]) {
      const brokers = `127.0.0.1:${port}`;
      // Again where the machine stood still meanwhile.
      await eventually(async () => {
        const started = performance.now();
        const error = await refusal({ brokers, connectTimeoutMs: 1_000 });
        expect(performance.now() - started).toBeLessThan(2_000);
        expect(error).toMatchObject({ code: 'KAFKA_UNREACHABLE', message: expect.stringContaining(brokers) });
      });
    }
  });

  it('names what a principal may not do', async () => {
    const sasl = { mechanism: 'plain', username: RESTRICTED_USER, password: PASSWORD } as const;
    const admin = new Kafka({ brokers: [broker.plain.brokers], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    onTestFinished(() => admin.disconnect());
    const may = (resourceType: AclResourceTypes, resourceName: string, operation: AclOperationTypes) => ({
      resourceType,
      resourceName,
      operation,
      resourcePatternType: ResourcePatternTypes.LITERAL,
      principal: `User:${RESTRICTED_USER}`,
      host: '*',
      permissionType: AclPermissionTypes.ALLOW,
    });
    await createTopics(admin, [{ topic: 'allowed' }, { topic: 'forbidden' }, { topic: 'hidden' }]);
    await admin.createAcls({
      acl: [
        may(AclResourceTypes.TOPIC, 'allowed', AclOperationTypes.WRITE),
        may(AclResourceTypes.TOPIC, 'forbidden', AclOperationTypes.DESCRIBE),
        may(AclResourceTypes.TRANSACTIONAL_ID, 'allowed-key', AclOperationTypes.WRITE),
      ],
    });
    // They are told of once they are in force.
    const any = { resourceType: AclResourceTypes.ANY, resourcePatternType: ResourcePatternTypes.ANY };
    const allowing = { operation: AclOperationTypes.ANY, permissionType: AclPermissionTypes.ANY };
    await eventually(async () => {
      const { resources } = await admin.describeAcls({ ...any, ...allowing, principal: `User:${RESTRICTED_USER}` });
      expect(resources.flatMap(({ acls }) => acls)).toHaveLength(3);
    });
    const port = await open({ brokers: broker.at.LOGIN, sasl });
    const denied = (...names: string[]) => ({
      code: 'KAFKA_DENIED',
      message: expect.stringMatching(new RegExp(names.map((name) => `(?=.*\\b${name}\\b)`).join(''))),
    });

    const creating = port.admin.createTopics([{ name: 'uncreated', partitions: 1, config: {} }]);
    await expect(creating).rejects.toMatchObject(denied('create', 'uncreated'));
    await expect(port.admin.describeTopics(['hidden'])).rejects.toMatchObject(denied('hidden'));
    await expect(port.admin.committedOffsets('some-group', 'allowed')).rejects.toMatchObject(denied('some-group'));

    const producer = await port.producer();
    const outcomes = await producer.send(
      ['allowed', 'forbidden', 'hidden'].map((topic) => ({ topic, partition: 0, value: Buffer.from('x') })),
    );
    expect(outcomes).toMatchObject([
      { kind: 'stored' },
      { kind: 'refused', tooLarge: false, cause: denied('write', 'forbidden') },
      { kind: 'refused', tooLarge: false, cause: denied('write', 'hidden') },
    ]);

    const options = { groupId: 'some-group', transactionTimeoutMs: 10_000 };
    await expect(port.openSink({ ...options, fencingKey: 'forbidden-key' })).rejects.toMatchObject(
      denied('forbidden-key'),
    );
    const sink = await port.openSink({ ...options, fencingKey: 'allowed-key' });
    sink.stage('allowed', 0, Buffer.from('x'));
    sink.stage('forbidden', 0, Buffer.from('x'));
    expect(await sink.commit([])).toMatchObject({ kind: 'reopen', cause: denied('forbidden') });
    await sink.close();
    const offsets = await port.openSink({ ...options, fencingKey: 'allowed-key' });
    offsets.stage('allowed', 0, Buffer.from('x'));
    expect(await offsets.commit([{ topic: 'allowed', partition: 0, offset: 1n }])).toMatchObject({
      kind: 'reopen',
      cause: denied('some-group'),
    });
    await offsets.close();

    const reader = port.reader({ topic: 'forbidden', partition: 0 });
    await expect(reader.seek('earliest').then(() => reader.poll(1_000))).rejects.toMatchObject(denied('forbidden'));
    await reader.close();
    const member = port.joinGroup(
      { groupId: 'some-group', topics: ['allowed'], sessionTimeoutMs: 6_000 },
      { run: async () => {} },
    );
    await expect(member.done).rejects.toMatchObject(denied('some-group'));
  });
});

/** With causes and what hangs on them, as a log line or a crash would show it. */
function everythingIn(error: unknown): string {
  const parts: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) {
    parts.push(at.stack ?? at.message, JSON.stringify(at, Object.getOwnPropertyNames(at)));
  }
  return parts.join('\n');
}
