/** Weir's settings in librdkafka's words. */
import type { Config } from '../../config.ts';
import { WeirError } from '../../errors.ts';
import type { Settings } from './binding.ts';

const SASL_MECHANISMS = { plain: 'PLAIN', 'scram-sha-256': 'SCRAM-SHA-256', 'scram-sha-512': 'SCRAM-SHA-512' } as const;
/** Its log goes nowhere: what matters comes back as errors. 0: emergencies only. */
const LOG_LEVEL = 0;

/** Of every connection. Throws CONFIG_INVALID for what this driver cannot do. */
export function connectionSettings(config: Config['kafka']): Settings {
  const { tls, sasl } = config;
  if (tls.serverName) throw unsupported('kafka.tls.serverName');
  if (sasl?.mechanism === 'oauthbearer') throw unsupported('kafka.sasl.mechanism: oauthbearer');
  return {
    'bootstrap.servers': config.brokers,
    'client.id': config.clientId,
    'security.protocol': `${sasl ? 'sasl_' : ''}${tls.enabled ? 'ssl' : 'plaintext'}`,
    'socket.connection.setup.timeout.ms': Math.max(config.connectTimeoutMs, 1_000),
    'reconnect.backoff.ms': 50,
    'reconnect.backoff.max.ms': 2_000,
    'retry.backoff.ms': 20,
    log_level: LOG_LEVEL,
    ...(tls.caFile && { 'ssl.ca.location': tls.caFile }),
    ...(tls.certFile && { 'ssl.certificate.location': tls.certFile }),
    ...(tls.keyFile && { 'ssl.key.location': tls.keyFile }),
    ...(sasl && {
      'sasl.mechanisms': SASL_MECHANISMS[sasl.mechanism],
      'sasl.username': sasl.username,
      'sasl.password': sasl.password,
    }),
  };
}

const unsupported = (what: string) =>
  new WeirError('CONFIG_INVALID', `${what} does not work with kafka.driver: librdkafka; allowed with it is kafkajs.`);
