import { describe, expect, it } from 'vitest';
import { type ConfigInput, defaultConfig } from '../../../src/config.ts';
import { connectionSettings } from '../../../src/kafka/librdkafka/settings.ts';

const settingsOf = (kafka: ConfigInput['kafka']) => connectionSettings(defaultConfig({ kafka }).kafka);

describe("librdkafka's settings", () => {
  it.each([
    [{}, 'plaintext'],
    [{ tls: { enabled: true } }, 'ssl'],
    [{ sasl: { mechanism: 'plain', username: 'u', password: 'p' } }, 'sasl_plaintext'],
    [{ tls: { enabled: true }, sasl: { mechanism: 'plain', username: 'u', password: 'p' } }, 'sasl_ssl'],
  ] as const)('of %j speak %s', (kafka, protocol) => {
    expect(settingsOf(kafka)).toMatchObject({ 'security.protocol': protocol });
  });

  it('name the certificates, the mechanism and the credentials', () => {
    const tls = { enabled: true, caFile: 'ca.pem', certFile: 'cert.pem', keyFile: 'key.pem' };
    const sasl = { mechanism: 'scram-sha-512', username: 'u', password: 'p' } as const;
    expect(settingsOf({ brokers: 'a:1,b:2', tls, sasl })).toMatchObject({
      'bootstrap.servers': 'a:1,b:2',
      'ssl.ca.location': 'ca.pem',
      'ssl.certificate.location': 'cert.pem',
      'ssl.key.location': 'key.pem',
      'sasl.mechanisms': 'SCRAM-SHA-512',
      'sasl.username': 'u',
      'sasl.password': 'p',
    });
  });

  it('refuse what this driver cannot do', () => {
    expect(() => settingsOf({ tls: { enabled: true, serverName: 'kafka' } })).toThrow(/^kafka\.tls\.serverName/);
    expect(() => settingsOf({ sasl: { mechanism: 'oauthbearer', tokenFile: 't' } })).toThrow(/oauthbearer/);
  });
});
