import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { type ConfigInput, defaultConfig } from '../../../src/config.ts';
import { WeirError } from '../../../src/errors.ts';
import { brokerAddresses, linkSettings } from '../../../src/kafka/kafkajs/connection.ts';
import { connectKafka } from '../../../src/kafka/kafkajs/index.ts';
import { eventually } from '../../support/eventually.ts';

const log = pino({ level: 'silent' });
const API_VERSIONS = 18;
const METADATA = 3;
const END_TXN = 26;

const cleanUps: Array<() => void> = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUps.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Answers ApiVersions v2 (EndTxn up to `endTxn`) and Metadata v6 (no brokers, no topics); `hangUp` at any Metadata. */
async function oldBroker(endTxn: number, hangUp = false): Promise<number> {
  const server = createServer((socket) => {
    cleanUps.push(() => socket.destroy());
    socket.on('data', (request) => {
      const apiKey = request.readInt16BE(4);
      if (apiKey === METADATA && hangUp) {
        socket.end();
        return;
      }
      const apis = [
        [API_VERSIONS, 2],
        [METADATA, 6],
        [END_TXN, endTxn],
      ];
      const body =
        apiKey === API_VERSIONS
          ? [
              int16(0),
              int32(apis.length),
              ...apis.flatMap(([key, most]) => [int16(key!), int16(0), int16(most!)]),
              int32(0),
            ]
          : [int32(0), int32(0), int16(-1), int32(-1), int32(0)];
      const answer = Buffer.concat([request.subarray(8, 12), ...body]);
      socket.write(Buffer.concat([int32(answer.length), answer]));
    });
  });
  return listening(server);
}

const int16 = (value: number) => {
  const buffer = Buffer.alloc(2);
  buffer.writeInt16BE(value);
  return buffer;
};
const int32 = (value: number) => {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
};

async function failure(kafka: ConfigInput['kafka']): Promise<WeirError> {
  const error = await connectKafka(defaultConfig({ kafka }).kafka, log).then(
    () => new Error('it connected'),
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(WeirError);
  return error;
}

describe('connecting', () => {
  it('says within the time that no broker answers, and which were asked', async () => {
    const port = await listening(createServer());
    for (const cleanUp of cleanUps.splice(0)) cleanUp();
    // Again where the machine stood still meanwhile.
    await eventually(async () => {
      const started = performance.now();
      const error = await failure({ brokers: `127.0.0.1:${port}`, connectTimeoutMs: 300 });
      expect(performance.now() - started).toBeLessThan(5_000);
      expect(error.code).toBe('KAFKA_UNREACHABLE');
      expect(error.message).toContain(`127.0.0.1:${port}`);
    });
  });

  it('does not wait for ever for something that listens and says nothing', async () => {
    const port = await listening(createServer((socket) => cleanUps.push(() => socket.destroy())));
    const error = await failure({ brokers: `127.0.0.1:${port}`, connectTimeoutMs: 300 });
    expect(error.code).toBe('KAFKA_UNREACHABLE');
  });

  it('refuses a broker older than Kafka 4.0 by name', async () => {
    const port = await oldBroker(4);
    const error = await failure({ brokers: `127.0.0.1:${port}` });
    expect(error.code).toBe('KAFKA_VERSION');
    expect(error.message).toContain(`127.0.0.1:${port}`);
  });

  it('takes Kafka 4.0, though another broker of the list does not answer', async () => {
    const port = await oldBroker(5);
    const kafka = { brokers: `127.0.0.1:1,127.0.0.1:${port}` };
    const connected = await connectKafka(defaultConfig({ kafka }).kafka, log);
    expect(connected.description).toContain(`127.0.0.1:${port}`);
    await connected.close();
  });

  it('says that SASL is wanted where a broker hangs up after it has told its versions', async () => {
    const port = await oldBroker(5, true);
    const error = await failure({ brokers: `127.0.0.1:${port}`, connectTimeoutMs: 300 });
    expect(error.code).toBe('KAFKA_AUTH');
    expect(error.message).toContain(`127.0.0.1:${port} hangs up at the first request`);
    expect(error.message).toContain('Set kafka.sasl');
  });

  it('says that the TLS handshake failed where the broker speaks plain text', async () => {
    const port = await listening(
      createServer((socket) => {
        socket.on('error', () => socket.destroy());
        socket.on('data', () => socket.end('this is not TLS'));
      }),
    );
    const error = await failure({ brokers: `127.0.0.1:${port}`, tls: { enabled: true }, connectTimeoutMs: 1_000 });
    expect(error.code).toBe('KAFKA_AUTH');
    expect(error.message).toContain('kafka.tls');
  });
});

describe('broker addresses', () => {
  it('are HOST:PORT, several by comma, IPv6 in brackets', () => {
    expect(brokerAddresses('a:1, b.example:9093,c,[::1]:19092')).toEqual([
      { host: 'a', port: 1 },
      { host: 'b.example', port: 9093 },
      { host: 'c', port: 9092 },
      { host: '::1', port: 19_092 },
    ]);
  });

  it.each(['a:b', 'a:0', 'a:70000', 'http://a:1', '::1'])('are not %s', (brokers) => {
    expect(() => brokerAddresses(brokers)).toThrow(/HOST:PORT/);
  });
});

describe('an OAUTHBEARER token', () => {
  it('is granted for the client credentials, kept while it lives and asked for anew before it ends', async () => {
    const asked: string[] = [];
    const lifetimes = [3_600, 1];
    const http = createHttpServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        asked.push(`${request.method} ${request.headers.authorization} ${body}`);
        const token = { access_token: `token ${asked.length}`, expires_in: lifetimes[asked.length - 1] ?? 1 };
        response.setHeader('content-type', 'application/json').end(JSON.stringify(token));
      });
    });
    const port = await listening(http);
    const settingsFor = async () => {
      const sasl = {
        mechanism: 'oauthbearer' as const,
        tokenEndpoint: `http://127.0.0.1:${port}/token`,
        clientId: 'me',
        clientSecret: 's&cret',
        scope: 'kafka',
      };
      const settings = await linkSettings(defaultConfig({ kafka: { sasl } }).kafka, log);
      return settings.sasl as { oauthBearerProvider(): Promise<{ value: string }> };
    };
    const lasting = await settingsFor();
    expect([await lasting.oauthBearerProvider(), await lasting.oauthBearerProvider()]).toMatchObject([
      { value: 'token 1' },
      { value: 'token 1' },
    ]);
    const short = await settingsFor();
    expect([await short.oauthBearerProvider(), await short.oauthBearerProvider()]).toMatchObject([
      { value: 'token 2' },
      { value: 'token 3' },
    ]);
    const basic = Buffer.from('me:s%26cret').toString('base64');
    expect(asked[0]).toBe(`POST Basic ${basic} grant_type=client_credentials&scope=kafka`);
  });
});
