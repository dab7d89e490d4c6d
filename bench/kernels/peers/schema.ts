/**
 * OTLP for protobufjs. It generates its decoders and encoders from the schema at the first use: the same code that its
 * command line writes.
 */
import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import type { Signal } from '../../../src/signals.ts';

/** Down to the scopes: all else stays bytes, of any signal. */
const OPAQUE = `
syntax = "proto3";

message OpaqueRequest { repeated OpaqueResource resources = 1; }
message OpaqueResource { bytes resource = 1; repeated OpaqueScope scopes = 2; string schema_url = 3; }
message OpaqueScope { bytes scope = 1; repeated bytes items = 2; string schema_url = 3; }
`;

const { root } = protobuf.parse(readFileSync(new URL('../../../proto/otlp.proto', import.meta.url), 'utf8'));

export const REQUESTS: Readonly<Record<Signal, protobuf.Type>> = {
  traces: root.lookupType('TracesRequest'),
  metrics: root.lookupType('MetricsRequest'),
  logs: root.lookupType('LogsRequest'),
};

/** Resource, scope and items of any signal stay bytes. */
export const OPAQUE_REQUEST = protobuf.parse(OPAQUE).root.lookupType('OpaqueRequest');
