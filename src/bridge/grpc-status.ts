/** How a gRPC call ends: status, message and details, as HTTP/2 headers. */

import type { OutgoingHttpHeaders } from 'node:http2';
import { status } from '@grpc/grpc-js';
import { isBadData, REFUSALS, type Refusal, retryInfo, statusToProtobuf } from './refusal.ts';

export interface GrpcStatus {
  readonly code: number;
  readonly message: string;
  /** A google.rpc.Status, where there is more to say. */
  readonly details?: Uint8Array;
  /** A google.rpc.RetryInfo. In the details as well, but exporters in Python look for it by itself. */
  readonly retryInfo?: Uint8Array;
}

export const OK: GrpcStatus = { code: status.OK, message: '' };
export const DEADLINE_EXCEEDED: GrpcStatus = {
  code: status.DEADLINE_EXCEEDED,
  message: "the call's deadline has passed",
};

/** A client refuses headers of more than 8 KiB, and the message goes twice where there are details. */
const MAX_MESSAGE_LENGTH = 1_024;

export function statusOf(refused: Refusal): GrpcStatus {
  const { reason, message, retryAfterMs } = refused;
  return {
    code: REFUSALS[reason].grpc,
    message,
    ...((retryAfterMs !== null || isBadData(refused)) && { details: statusToProtobuf(refused) }),
    ...(retryAfterMs !== null && { retryInfo: retryInfo(retryAfterMs) }),
  };
}

export function statusHeaders({ code, message, details, retryInfo }: GrpcStatus): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { 'grpc-status': String(code) };
  if (message !== '') headers['grpc-message'] = percentEncoded(message.slice(0, MAX_MESSAGE_LENGTH));
  if (details) headers['grpc-status-details-bin'] = unpadded(details);
  if (retryInfo) headers['google.rpc.retryinfo-bin'] = unpadded(retryInfo);
  return headers;
}

const unpadded = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64').replace(/=+$/, '');

/** UTF-8, of which all but printable ASCII without % is written as %XX. */
function percentEncoded(message: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(message)) return message;
  return Array.from(Buffer.from(message), (byte) =>
    byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('');
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Of grpc-timeout: milliseconds; Infinity without one; null when it is no timeout. */
export function timeoutMs(header: string | undefined): number | null {
  if (header === undefined) return Number.POSITIVE_INFINITY;
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
  return digits === undefined ? null : Number(digits) * UNIT_MS[unit!]!;
}
