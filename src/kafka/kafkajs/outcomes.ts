/**
 * What an error code or a broken connection means for the caller, in one table. Codes: Apache Kafka,
 * `org.apache.kafka.common.protocol.Errors`.
 */
import { WeirError } from '../../errors.ts';

/**
 * - `busy`: the broker did nothing and will do it later (loading, a predecessor's transaction being ended, too few replicas).
 * - `moved`: the broker did nothing, since another one leads or coordinates now: look it up again.
 * - `unclear`: it may have been done or not.
 * - `fenced`: a newer owner, or the broker ended the transaction over its time limit: the two answer alike. Of a group:
 *   another process has the static member's place.
 * - `too-large`: the batch is over the topic's `max.message.bytes`; nothing was appended.
 * - `refused`: the records are not acceptable; nothing was appended.
 * - `denied`: not authorised.
 * - `sequence`: what the broker knows of this producer id does not fit the request.
 * - `rejoin`: the group has moved on.
 * - `out-of-range`: the offset is not in the log.
 * - `failed`: anything else; trying again as it is cannot help.
 */
export type Fault =
  | 'busy'
  | 'moved'
  | 'unclear'
  | 'fenced'
  | 'too-large'
  | 'refused'
  | 'denied'
  | 'sequence'
  | 'rejoin'
  | 'out-of-range'
  | 'failed';

/** Those that callers tell apart by more than their fault. */
export const ErrorCode = {
  none: 0,
  unknownTopicOrPartition: 3,
  inconsistentGroupProtocol: 23,
  unknownMemberId: 25,
  invalidSessionTimeout: 26,
  rebalanceInProgress: 27,
  topicAuthorizationFailed: 29,
  groupAuthorizationFailed: 30,
  topicAlreadyExists: 36,
  duplicateSequence: 46,
  notAttempted: 55,
  memberIdRequired: 79,
  unstableOffsetCommit: 88,
} as const;

const ERRORS: Readonly<Record<number, readonly [name: string, fault: Fault]>> = {
  [-1]: ['UNKNOWN_SERVER_ERROR', 'unclear'],
  1: ['OFFSET_OUT_OF_RANGE', 'out-of-range'],
  2: ['CORRUPT_MESSAGE', 'refused'],
  3: ['UNKNOWN_TOPIC_OR_PARTITION', 'moved'],
  5: ['LEADER_NOT_AVAILABLE', 'moved'],
  6: ['NOT_LEADER_OR_FOLLOWER', 'moved'],
  7: ['REQUEST_TIMED_OUT', 'unclear'],
  8: ['BROKER_NOT_AVAILABLE', 'moved'],
  9: ['REPLICA_NOT_AVAILABLE', 'moved'],
  10: ['MESSAGE_TOO_LARGE', 'too-large'],
  13: ['NETWORK_EXCEPTION', 'unclear'],
  14: ['COORDINATOR_LOAD_IN_PROGRESS', 'busy'],
  15: ['COORDINATOR_NOT_AVAILABLE', 'moved'],
  16: ['NOT_COORDINATOR', 'moved'],
  17: ['INVALID_TOPIC_EXCEPTION', 'refused'],
  18: ['RECORD_LIST_TOO_LARGE', 'too-large'],
  // To old Produce versions the broker also says this when the transaction coordinator could not be asked in time.
  19: ['NOT_ENOUGH_REPLICAS', 'busy'],
  20: ['NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'unclear'],
  22: ['ILLEGAL_GENERATION', 'rejoin'],
  23: ['INCONSISTENT_GROUP_PROTOCOL', 'failed'],
  24: ['INVALID_GROUP_ID', 'failed'],
  25: ['UNKNOWN_MEMBER_ID', 'rejoin'],
  26: ['INVALID_SESSION_TIMEOUT', 'failed'],
  27: ['REBALANCE_IN_PROGRESS', 'rejoin'],
  29: ['TOPIC_AUTHORIZATION_FAILED', 'denied'],
  30: ['GROUP_AUTHORIZATION_FAILED', 'denied'],
  31: ['CLUSTER_AUTHORIZATION_FAILED', 'denied'],
  32: ['INVALID_TIMESTAMP', 'refused'],
  35: ['UNSUPPORTED_VERSION', 'failed'],
  36: ['TOPIC_ALREADY_EXISTS', 'failed'],
  37: ['INVALID_PARTITIONS', 'failed'],
  38: ['INVALID_REPLICATION_FACTOR', 'failed'],
  40: ['INVALID_CONFIG', 'failed'],
  41: ['NOT_CONTROLLER', 'moved'],
  42: ['INVALID_REQUEST', 'failed'],
  43: ['UNSUPPORTED_FOR_MESSAGE_FORMAT', 'refused'],
  44: ['POLICY_VIOLATION', 'refused'],
  45: ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'sequence'],
  46: ['DUPLICATE_SEQUENCE_NUMBER', 'failed'],
  47: ['INVALID_PRODUCER_EPOCH', 'fenced'],
  48: ['INVALID_TXN_STATE', 'failed'],
  // The broker forgets a transactional id after a week without use. A newer owner shows as 47 or 90.
  49: ['INVALID_PRODUCER_ID_MAPPING', 'sequence'],
  50: ['INVALID_TRANSACTION_TIMEOUT', 'failed'],
  51: ['CONCURRENT_TRANSACTIONS', 'busy'],
  53: ['TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'denied'],
  55: ['OPERATION_NOT_ATTEMPTED', 'busy'],
  56: ['KAFKA_STORAGE_ERROR', 'unclear'],
  58: ['SASL_AUTHENTICATION_FAILED', 'denied'],
  59: ['UNKNOWN_PRODUCER_ID', 'sequence'],
  74: ['FENCED_LEADER_EPOCH', 'moved'],
  75: ['UNKNOWN_LEADER_EPOCH', 'moved'],
  78: ['OFFSET_NOT_AVAILABLE', 'busy'],
  79: ['MEMBER_ID_REQUIRED', 'rejoin'],
  81: ['GROUP_MAX_SIZE_REACHED', 'failed'],
  82: ['FENCED_INSTANCE_ID', 'fenced'],
  87: ['INVALID_RECORD', 'refused'],
  88: ['UNSTABLE_OFFSET_COMMIT', 'busy'],
  89: ['THROTTLING_QUOTA_EXCEEDED', 'busy'],
  90: ['PRODUCER_FENCED', 'fenced'],
  120: ['TRANSACTION_ABORTABLE', 'failed'],
};

export const faultOfCode = (code: number): Fault => ERRORS[code]?.[1] ?? 'failed';

/** The broker answered, and said no. */
export class BrokerError extends Error {
  readonly code: number;
  readonly fault: Fault;

  constructor(request: string, code: number, about = '', detail: string | null = null) {
    const name = ERRORS[code]?.[0] ?? `error ${code}`;
    super(`${request}${about && ` for ${about}`}: ${name}${detail ? ` (${detail})` : ''}`);
    this.name = 'BrokerError';
    this.code = code;
    this.fault = faultOfCode(code);
  }
}

/** No answer: the connection could not be made, broke, or the request ran out of time. */
export class ConnectionFault extends Error {
  /** False where it is certain that nothing was sent. */
  readonly sent: boolean;

  constructor(message: string, options: { sent: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.name = 'ConnectionFault';
    this.sent = options.sent;
  }
}

export function faultOf(error: unknown): Fault {
  if (error instanceof BrokerError) return error.fault;
  if (error instanceof ConnectionFault) return error.sent ? 'unclear' : 'moved';
  if (error instanceof WeirError) {
    // The credentials were good at the start: a token endpoint or a broker's user store may be out of order for a while.
    if (error.code === 'KAFKA_AUTH') return 'moved';
    if (error.code === 'KAFKA_DENIED') return 'denied';
  }
  return 'failed';
}

/** Worth another try of what may be done twice. */
export const isPassing = (error: unknown): boolean => ['busy', 'moved', 'unclear'].includes(faultOf(error));

/** Worth joining the group again. */
export const mayRejoin = (error: unknown): boolean => isPassing(error) || faultOf(error) === 'rejoin';

export function check(request: string, code: number, about?: string): void {
  if (code !== ErrorCode.none) throw new BrokerError(request, code, about);
}

export const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));

/** `doing`: such as `reading topic otlp_spans`. */
export function denied(doing: string, cause: unknown): WeirError {
  return new WeirError(
    'KAFKA_DENIED',
    `Kafka does not allow this principal ${doing} (${asError(cause).message}). Grant it the ACLs of the role.`,
    { cause },
  );
}

export const missingTopic = (topic: string, cause?: unknown): WeirError =>
  new WeirError('TOPIC_MISSING', `Cannot read topic ${topic}: it does not exist. Create it first.`, { cause });
