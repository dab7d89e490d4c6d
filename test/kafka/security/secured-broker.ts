/** A broker with a listener for every way to encrypt and to log in, all with one authorizer behind them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedBroker, freePort, startEmbedded } from '../../../src/kafka/embedded.ts';
import { type Certificate, makeAuthority, makeCertificate } from '../../support/certificates.ts';
import { setScramPassword } from './scram-users.ts';

const LISTENERS = {
  /** Certificate for localhost and 127.0.0.1. */
  TLS: 'SSL',
  /** Asks for a client's certificate; its own names only `SERVER_NAME`. */
  MUTUAL: 'SSL',
  LOGIN: 'SASL_PLAINTEXT',
  TLSLOGIN: 'SASL_SSL',
} as const;
type Listener = keyof typeof LISTENERS;

export const SERVER_NAME = 'kafka.weir.test';
export const PASSWORD = 'Tr0ub4dor="&3';
/** May do everything, however it logs in. */
export const USER = 'weir=installation,1';
export const CLIENT_ID = 'weir';
/** Logs in by PLAIN with the same password; may do what the test grants. */
export const RESTRICTED_USER = 'restricted';

export interface SecuredBroker {
  /** Plain text, a super user. */
  readonly plain: EmbeddedBroker;
  readonly at: Readonly<Record<Listener, string>>;
  readonly folder: string;
  readonly authority: Certificate;
  /** Signed by `authority`. */
  readonly client: Certificate;
  /** An authority that nobody knows, and a client's certificate that it signed. */
  readonly strangeAuthority: Certificate;
  readonly strangeClient: Certificate;
  close(): Promise<void>;
}

export async function startSecuredBroker(): Promise<SecuredBroker> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-security-'));
  try {
    const [authority, strangeAuthority] = await Promise.all([
      makeAuthority(folder, 'authority'),
      makeAuthority(folder, 'strange-authority'),
    ]);
    const [server, namedServer, client, strangeClient] = await Promise.all([
      makeCertificate(folder, 'server', authority, 'DNS:localhost,IP:127.0.0.1'),
      makeCertificate(folder, 'named-server', authority, `DNS:${SERVER_NAME}`),
      makeCertificate(folder, 'client', authority),
      makeCertificate(folder, 'strange-client', strangeAuthority),
    ]);
    const names = Object.keys(LISTENERS) as Listener[];
    const ports: number[] = [];
    for (const _ of names) ports.push(await freePort(ports));
    const plain = await startEmbedded({
      ephemeral: true,
      extraListeners: names.map((name, index) => ({
        name,
        protocol: LISTENERS[name],
        listenPort: ports[index]!,
        advertisedPort: ports[index]!,
      })),
      settings: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        // ANONYMOUS: the plain listener, the controller's, and TLS without a client's certificate.
        'super.users': `User:ANONYMOUS;User:CN=client;User:${USER};User:${CLIENT_ID}`,
        ...tls('TLS', server),
        ...tls('MUTUAL', namedServer, authority),
        ...tls('TLSLOGIN', server),
        ...logins('LOGIN'),
        ...logins('TLSLOGIN'),
      },
    });
    try {
      await setScramPassword(plain.port, USER, PASSWORD);
    } catch (error) {
      await plain.kill();
      throw error;
    }
    return {
      plain,
      at: Object.fromEntries(names.map((name, index) => [name, `127.0.0.1:${ports[index]}`])) as Record<
        Listener,
        string
      >,
      folder,
      authority,
      client,
      strangeAuthority,
      strangeClient,
      async close() {
        await plain.kill();
        await rm(folder, { recursive: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true });
    throw error;
  }
}

/** `clientAuthority`: clients must show a certificate of it. */
function tls(listener: Listener, server: Certificate, clientAuthority?: Certificate): Record<string, string> {
  const settings = {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': server.storeFile,
    ...(clientAuthority && {
      'ssl.client.auth': 'required',
      'ssl.truststore.type': 'PEM',
      'ssl.truststore.location': clientAuthority.certFile,
    }),
  };
  return forListener(listener, settings);
}

function logins(listener: Listener): Record<string, string> {
  const security = 'org.apache.kafka.common.security';
  const quoted = (text: string) => `"${text.replaceAll('"', '\\"')}"`;
  // PLAIN's user names stand in option names, which cannot hold "=" or ",".
  const users = [`user_${CLIENT_ID}=${quoted(PASSWORD)}`, `user_${RESTRICTED_USER}=${quoted(PASSWORD)}`].join(' ');
  return forListener(listener, {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
    'plain.sasl.jaas.config': `${security}.plain.PlainLoginModule required ${users};`,
    'scram-sha-256.sasl.jaas.config': `${security}.scram.ScramLoginModule required;`,
    'scram-sha-512.sasl.jaas.config': `${security}.scram.ScramLoginModule required;`,
    // Takes unsecured tokens, as it is not told of a key.
    'oauthbearer.sasl.jaas.config': `${security}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
  });
}

const forListener = (listener: Listener, settings: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [`listener.name.${listener.toLowerCase()}.${key}`, value]),
  );
