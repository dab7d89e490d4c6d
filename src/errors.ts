/**
 * Every error that a user can see. Its message says what was being done, to what, and what to do; `main.ts` prints it as
 * one sentence and exits with 1. Anything else that escapes is a bug and keeps its stack trace.
 */
export const ERROR_CODES = {
  CONFIG_INVALID: 'a setting is unknown, missing or not allowed',
  PORT_TAKEN: 'an address to listen on is in use',
  KAFKA_UNREACHABLE: 'no broker of the list answers',
  KAFKA_AUTH: 'the broker refuses the credentials, or the TLS handshake fails',
  KAFKA_VERSION: 'the broker is older than Kafka 4.0',
  KAFKA_DENIED: 'the broker allows this principal too little',
  KAFKAJS_VERSION: 'another version of kafkajs is installed than the one Weir stands on',
  INSTANCE_ID_TAKEN: 'two processes have the same kafka.instanceId in one group',
  DRIVER_MISSING: 'kafka.driver names a driver that is not installed',
  EMBEDDED_UNAVAILABLE: 'the embedded broker cannot run on this machine (Java or Maven is missing)',
  EMBEDDED_FAILED: 'the embedded broker did not start',
  TOPIC_MISSING: 'a topic does not exist and may not be created',
  TOPIC_MISMATCH: 'a topic exists with settings that Weir cannot work with',
  ROUTING_MISMATCH: 'the configured routing is not the one that the ring epoch holds',
  OFFSET_LOST: 'a committed offset is no longer in the log',
  BATCH_CORRUPT: 'a record batch cannot be read',
  CONTROL_LOG_UNREADABLE: 'the control log holds an event that this version does not know',
  REQUEST_REFUSED: 'the leader refuses what was asked of it',
  REQUEST_UNANSWERED: 'no leader has answered a request',
  RING_STUCK: 'a proposed ring epoch waits for input partitions that do not adopt it',
  LOAD_TARGET: 'the load generator cannot reach its target',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export class WeirError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'WeirError';
    this.code = code;
  }
}
