/**
 * What a request of any signal is nested of, down to its items:
 *
 *   Export*ServiceRequest  1 ResourceX LEN; others are kept
 *   ResourceX              1 resource LEN, 2 ScopeX LEN; others (3 schema_url) are kept
 *   ScopeX                 1 scope LEN, 2 item LEN (Span, Metric, LogRecord); others (3 schema_url) are kept
 */
import { LEN } from './wire';

export const RESOURCE_X: u32 = (1 << 3) | LEN;
export const RESOURCE: u32 = (1 << 3) | LEN;
export const SCOPE_X: u32 = (2 << 3) | LEN;
export const SCOPE_FIELD: u32 = (1 << 3) | LEN;
export const ITEM: u32 = (2 << 3) | LEN;

/** The most that tag and length of a ResourceX or ScopeX take. */
export const FRAME_BYTES: u64 = 6;
