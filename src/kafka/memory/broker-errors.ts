/** What the in-process broker answers when it cannot do what was asked: the names are those of the Kafka protocol. */
const BROKER_ERRORS = {
  UNKNOWN_TOPIC_OR_PARTITION: { canRetry: true },
  OFFSET_OUT_OF_RANGE: { canRetry: false },
  MESSAGE_TOO_LARGE: { canRetry: false },
  INVALID_RECORD: { canRetry: false },
  INVALID_TOPIC_EXCEPTION: { canRetry: false },
  INVALID_PARTITIONS: { canRetry: false },
  INVALID_CONFIG: { canRetry: false },
  OUT_OF_ORDER_SEQUENCE_NUMBER: { canRetry: false },
  INVALID_PRODUCER_EPOCH: { canRetry: false },
  INVALID_PRODUCER_ID_MAPPING: { canRetry: false },
  PRODUCER_FENCED: { canRetry: false },
  INVALID_TXN_STATE: { canRetry: false },
  UNSTABLE_OFFSET_COMMIT: { canRetry: true },
  KAFKA_STORAGE_ERROR: { canRetry: true },
  UNKNOWN_MEMBER_ID: { canRetry: false },
  ILLEGAL_GENERATION: { canRetry: false },
  FENCED_INSTANCE_ID: { canRetry: false },
  REBALANCE_IN_PROGRESS: { canRetry: false },
  /** Not the broker's: the request or its reply was lost on the way. */
  NETWORK_EXCEPTION: { canRetry: true },
  /** Not the broker's: the client is closed. */
  CLIENT_CLOSED: { canRetry: false },
} as const;

export type BrokerErrorCode = keyof typeof BROKER_ERRORS;

export class BrokerError extends Error {
  readonly code: BrokerErrorCode;

  constructor(code: BrokerErrorCode, message: string) {
    super(`${code}: ${message}`);
    this.name = 'BrokerError';
    this.code = code;
  }

  get canRetry(): boolean {
    return BROKER_ERRORS[this.code].canRetry;
  }
}

export const hasCode = (error: unknown, ...codes: readonly BrokerErrorCode[]): error is BrokerError =>
  error instanceof BrokerError && codes.includes(error.code);
