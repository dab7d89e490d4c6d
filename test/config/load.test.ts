import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ConfigSources, effectiveSettings, loadConfig, loadConfigWithOrigins } from '../../src/config/load.ts';
import { defaultConfig } from '../../src/config.ts';
import { WeirError } from '../../src/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const PASSWORD = 'correct-horse-battery';

let written = 0;
function fileOf(text: string, extension = 'yaml'): string {
  const path = join(folder, `${++written}.${extension}`);
  writeFileSync(path, text);
  return path;
}

/** The message, the file's path cut to its name. */
function problemsOf(sources: ConfigSources): string {
  try {
    loadConfig(sources);
  } catch (error) {
    expect(error).toBeInstanceOf(WeirError);
    expect((error as WeirError).code).toBe('CONFIG_INVALID');
    return (error as WeirError).message.replaceAll(`${folder}/`, '');
  }
  throw new Error('these settings were taken');
}

describe('where a setting comes from', () => {
  it('is the default when nobody says otherwise', () => {
    expect(loadConfig({})).toEqual(defaultConfig());
  });

  it('is a YAML file', () => {
    const config = loadConfig({ file: fileOf('prefix: prod.\nkafka:\n  brokers: a:1,b:2\n') });
    expect(config.prefix).toBe('prod.');
    expect(config.kafka.brokers).toBe('a:1,b:2');
  });

  it('is a JSON file', () => {
    expect(loadConfig({ file: fileOf('{"routing": {"traces": {"shards": 4}}}', 'json') }).routing.traces.shards).toBe(
      4,
    );
  });

  it('is a file that WEIR_CONFIG names, unless --config names one', () => {
    const [one, other] = [fileOf('prefix: one.'), fileOf('prefix: other.')];
    expect(loadConfig({ env: { WEIR_CONFIG: one } }).prefix).toBe('one.');
    expect(loadConfig({ env: { WEIR_CONFIG: one }, file: other }).prefix).toBe('other.');
  });

  it('is the environment rather than the file, and a flag rather than the environment', () => {
    const file = fileOf('httpPort: 1\ngrpcPort: 2\napiPort: 3\n');
    const env = { WEIR_GRPC_PORT: '20', WEIR_API_PORT: '30' };
    const config = loadConfig({ file, env, flags: { apiPort: '300' } });
    expect([config.httpPort, config.grpcPort, config.apiPort]).toEqual([1, 20, 300]);
  });

  it('leaves the other keys of a group alone when one is overridden', () => {
    const file = fileOf('kafka: {clientId: mine, brokers: "a:1"}');
    const { kafka } = loadConfig({ file, env: { WEIR_KAFKA: 'b:2' } });
    expect([kafka.clientId, kafka.brokers]).toEqual(['mine', 'b:2']);
  });

  it('is told with each setting that differs from its default, secrets hidden', () => {
    const file = fileOf('prefix: prod.\nkafka:\n  tls: {enabled: true}\n  brokers: a:1\n');
    const env = {
      WEIR_KAFKA_SASL_MECHANISM: 'plain',
      WEIR_KAFKA_SASL_USERNAME: 'u',
      WEIR_KAFKA_SASL_PASSWORD: PASSWORD,
    };
    const settings = effectiveSettings(loadConfigWithOrigins({ file, env, flags: { demo: false, grpcPort: '4317' } }));
    expect(settings.map(({ key, shown, origin }) => [key, shown, origin.replace(`${folder}/`, '')])).toEqual([
      ['prefix', '"prod."', expect.stringMatching(/^\d+\.yaml:1$/)],
      ['demo', 'false', '--no-demo'],
      ['kafka.brokers', '"a:1"', expect.stringMatching(/^\d+\.yaml:4$/)],
      ['kafka.tls.enabled', 'true', expect.stringMatching(/^\d+\.yaml:3$/)],
      ['kafka.sasl.mechanism', '"plain"', 'WEIR_KAFKA_SASL_MECHANISM'],
      ['kafka.sasl.username', '"u"', 'WEIR_KAFKA_SASL_USERNAME'],
      ['kafka.sasl.password', '(set)', 'WEIR_KAFKA_SASL_PASSWORD'],
    ]);
  });
});

describe('the environment', () => {
  it('holds texts of every type', () => {
    const { routing, topics, control, demo } = loadConfig({
      env: {
        WEIR_ROUTING_TRACES_SHARDS: '8',
        WEIR_ROUTING_KEEP_HEADERS: 'tenant, region',
        WEIR_ROUTING_OVERRIDES: '[{"signal": "logs", "key": "a", "shard": 3}]',
        WEIR_TOPICS_CREATE: 'no',
        WEIR_CONTROL_SCALING_CPU_HIGH: '0.9',
        WEIR_DEMO: 'false',
      },
    });
    expect(routing.traces.shards).toBe(8);
    expect(routing.keepHeaders).toEqual(['tenant', 'region']);
    expect(routing.overrides).toEqual([{ signal: 'logs', key: 'a', shard: 3 }]);
    expect([topics.create, control.scaling.cpuHigh, demo]).toEqual([false, 0.9, false]);
  });

  it('has a short name for what has a flag, and both may not differ', () => {
    expect(loadConfig({ env: { WEIR_DATA_DIR: '/d' } }).kafka.embedded.dataDir).toBe('/d');
    expect(loadConfig({ env: { WEIR_KAFKA: 'a:1', WEIR_KAFKA_BROKERS: 'a:1' } }).kafka.brokers).toBe('a:1');
    expect(problemsOf({ env: { WEIR_KAFKA: 'a:1', WEIR_KAFKA_BROKERS: 'b:1' } })).toBe(
      'WEIR_KAFKA_BROKERS: differs from WEIR_KAFKA; both set kafka.brokers, so set one',
    );
  });

  it('counts an empty variable as not set', () => {
    expect(loadConfig({ env: { WEIR_GRPC_PORT: '', WEIR_CONFIG: '' } }).grpcPort).toBe(4317);
  });

  it('refuses a near miss of a name, and only notes one that is far off', () => {
    expect(problemsOf({ env: { WEIR_GPRC_PORT: '1' } })).toBe(
      'WEIR_GPRC_PORT: no such setting; did you mean WEIR_GRPC_PORT?',
    );
    expect(loadConfigWithOrigins({ env: { WEIR_SOMETHING_ELSE: '1' } }).notes).toEqual([
      'WEIR_SOMETHING_ELSE in the environment is no setting of Weir',
    ]);
  });

  it('does not take what Kubernetes sets beside a Service named weir or weir-grpc for settings', () => {
    const env = {
      WEIR_PORT: 'tcp://10.0.0.1:4317',
      WEIR_SERVICE_HOST: '10.0.0.1',
      WEIR_SERVICE_PORT_OTLP: '4317',
      WEIR_PORT_4317_TCP_ADDR: '10.0.0.1',
      WEIR_GRPC_PORT: 'tcp://10.0.0.2:4317',
    };
    const { config, notes } = loadConfigWithOrigins({ env });
    expect(config).toEqual(defaultConfig());
    expect(notes).toEqual([]);
  });
});

describe('a config error', () => {
  it('names file and line, key, what was found and what is allowed', () => {
    expect(problemsOf({ file: fileOf('prefix: a\ngrpcPort: lots\n') })).toMatch(
      /^\d+\.yaml:2: grpcPort: found "lots"; allowed: an integer from 0 to 65535$/,
    );
  });

  it('names the variable or the flag', () => {
    expect(problemsOf({ env: { WEIR_LOG_LEVEL: 'loud' } })).toBe(
      'WEIR_LOG_LEVEL (log.level): found "loud"; allowed: trace, debug, info, warn, error, fatal, silent',
    );
    expect(problemsOf({ flags: { kafka: 'kafka-1' } })).toBe(
      '--kafka (kafka.brokers): found "kafka-1"; allowed: HOST:PORT[,HOST:PORT...], embedded, memory or auto',
    );
  });

  it.each([
    ['kafka: {broker: "a:1"}', 'unknown key kafka.broker; did you mean kafka.brokers?'],
    ['routng: {}', 'unknown key routng; did you mean routing?'],
    ['keep_headers: [a]', 'unknown key keep_headers; did you mean routing.keepHeaders?'],
    ['load: {zzz: 1}', 'unknown key load.zzz; allowed here: reportIntervalMs, slotIntervalMs'],
  ])('says what was meant by the unknown key in %s', (text, said) => {
    expect(problemsOf({ file: fileOf(text) })).toMatch(
      new RegExp(`^\\d+\\.yaml:1: ${said.replaceAll(/[?.]/g, '\\$&')}$`),
    );
  });

  it('tells all problems of all layers at once', () => {
    const file = fileOf('kafka:\n  broker: x\nlog: {level: 3}\n');
    const said = problemsOf({ file, env: { WEIR_HTTP_PORT: '99999', WEIR_PREFX: 'x' }, flags: { apiPort: 'x' } });
    expect(said.split('\n')).toHaveLength(6);
    expect(said).toMatch(/^the settings have 5 problems:\n/);
    for (const key of ['kafka.broker;', 'log.level:', '(httpPort):', 'WEIR_PREFX:', '--api-port'])
      expect(said).toContain(key);
  });

  it('says when a file cannot be read, is no YAML, or is no mapping', () => {
    expect(problemsOf({ file: join(folder, 'none.yaml') })).toBe(
      'cannot read the configuration file none.yaml: there is no such file',
    );
    expect(problemsOf({ file: fileOf('a: [1\nb: 2') })).toMatch(/^\d+\.yaml:\d: /);
    expect(problemsOf({ file: fileOf('prefix: a\nprefix: b\n') })).toMatch(/:2: this key stands here twice$/);
    expect(problemsOf({ file: fileOf('- a\n') })).toMatch(/found no settings/);
  });

  it('takes an empty file for no settings', () => {
    expect(loadConfig({ file: fileOf('# nothing yet\n') })).toEqual(defaultConfig());
  });

  it.each([
    ['two roles on one port', 'grpcPort: 1\nhttpPort: 1\n', "httpPort: found 1; allowed: a port other than grpcPort's"],
    [
      'an override to a shard that is not there',
      'routing: {overrides: [{signal: logs, key: a, shard: 16}]}',
      '0 to 15, the shards of logs',
    ],
    ['thresholds the wrong way round', 'control: {scaling: {cpuLow: 0.9}}', 'less than cpuHigh (0.8)'],
    [
      'a client certificate without its key',
      'kafka: {tls: {enabled: true, certFile: a}}',
      'the key of kafka.tls.certFile',
    ],
    ['TLS for exporters without a key', 'bridge: {tls: {enabled: true, certFile: a}}', 'as bridge.tls.enabled is true'],
    ['client certificates without TLS', 'bridge: {tls: {clientCaFile: a}}', 'only beside bridge.tls.enabled: true'],
    [
      'client certificates that nobody could sign',
      'bridge: {tls: {requireClientCert: false}}',
      'only beside bridge.tls.clientCaFile',
    ],
    [
      'tenants that shard records would mix',
      'bridge: {tenantFromHeader: x-tenant}\nrouting: {keepHeaders: [zone]}',
      'a list with "tenant"',
    ],
    ['an authority without TLS', 'kafka: {tls: {caFile: a}}', 'only beside kafka.tls.enabled: true'],
    [
      'oauthbearer without a token',
      'kafka: {sasl: {mechanism: oauthbearer}}',
      'tokenFile, or tokenEndpoint with clientId',
    ],
    [
      'a routing key that the signal has not',
      'routing: {metrics: {key: trace_id}}',
      'found "trace_id"; allowed: resource, service.name, metric.name or resource:<attribute>',
    ],
    [
      'an unknown mechanism',
      'kafka: {sasl: {mechanism: gssapi}}',
      'found "gssapi"; allowed: plain, scram-sha-256, scram-sha-512, oauthbearer',
    ],
    [
      'a missing user name',
      'kafka: {sasl: {mechanism: plain, password: x}}',
      'kafka.sasl.username: found nothing; allowed: a text',
    ],
  ])('refuses %s', (_, text, said) => {
    expect(problemsOf({ file: fileOf(text) })).toContain(said);
  });

  it('takes closed lists in any case, as Kafka writes them', () => {
    const env = {
      WEIR_KAFKA_SASL_MECHANISM: 'SCRAM-SHA-512',
      WEIR_KAFKA_SASL_USERNAME: 'u',
      WEIR_KAFKA_SASL_PASSWORD: 'p',
    };
    expect(loadConfig({ env }).kafka.sasl?.mechanism).toBe('scram-sha-512');
    expect(loadConfig({ flags: { logLevel: 'WARN' } }).log.level).toBe('warn');
  });
});

describe('a secret', () => {
  it.each([
    ['under a wrong type', `kafka: {sasl: "plain:${PASSWORD}"}`],
    ['in a list', `kafka: {sasl: {mechanism: plain, username: u, password: [${PASSWORD}]}}`],
    ['beside another problem', `grpcPort: x\nkafka: {sasl: {mechanism: plain, password: ${PASSWORD}}}`],
    ['under a wrong name', `kafka: {sasl: {mechanism: plain, username: u, passwort: ${PASSWORD}}}`],
    ['under a wrong mechanism', `kafka: {sasl: {mechanism: x, password: ${PASSWORD}}}`],
    ['that YAML takes for an alias', `kafka:\n  sasl:\n    password: *${PASSWORD}\n`],
    ['that YAML takes for a tag', `kafka:\n  sasl:\n    password: !${PASSWORD} x\n`],
    ['in a broken line', `kafka:\n  sasl:\n    password: "${PASSWORD}\n`],
    ['that is too short', 'api: {token: hunter2}'],
  ])('is not told %s', (_, text) => {
    const said = problemsOf({ file: fileOf(text) });
    expect(said).not.toContain(PASSWORD);
    expect(said).not.toContain('hunter2');
  });

  it('of digits only is asked for in quotes', () => {
    const file = fileOf('kafka: {sasl: {mechanism: plain, username: u, password: 4711}}');
    expect(problemsOf({ file })).toContain('found a number (texts of digits go in quotes); allowed: a text');
  });

  it('from the environment stays a text, also of digits only', () => {
    const env = { WEIR_KAFKA_SASL_MECHANISM: 'plain', WEIR_KAFKA_SASL_USERNAME: 'u', WEIR_KAFKA_SASL_PASSWORD: '0815' };
    expect(loadConfig({ env }).kafka.sasl).toMatchObject({ password: '0815' });
  });

  it('that would cross the network in the clear is noted', () => {
    const file = fileOf('kafka: {sasl: {mechanism: plain, username: u, password: p}}');
    expect(loadConfigWithOrigins({ file }).notes).toEqual([expect.stringContaining('in the clear')]);
    const door = fileOf('bridge: {auth: {credentialsFile: a}}');
    expect(loadConfigWithOrigins({ file: door }).notes).toEqual([expect.stringContaining('in the clear')]);
  });
});
