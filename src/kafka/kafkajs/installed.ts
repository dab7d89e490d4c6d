import { createRequire } from 'node:module';
import { WeirError } from '../../errors.ts';

/** The one whose inside internals.ts knows. */
const KNOWN = '2.2.4';

/**
 * Throws KAFKAJS_VERSION. There is no other adapter to go on with: what kafkajs's public classes offer is less than the port
 * promises (test/kafka/kafkajs/public-classes.test.ts), and exactly once for most of the time is not exactly once.
 */
export function requireKnownKafkajs(): void {
  const { version } = createRequire(import.meta.url)('kafkajs/package.json') as { version: string };
  if (version === KNOWN) return;
  throw new WeirError(
    'KAFKAJS_VERSION',
    `kafkajs ${version} is installed, and Weir stands on the inside of version ${KNOWN}, which another one need not have. ` +
      `Install that one: \`npm ci\` in Weir's folder, or \`npm install kafkajs@${KNOWN}\` where Weir is a dependency.`,
  );
}
