/**
 * grpc.health.v1.Health: whether the bridge takes requests, for the server ('') and each OTLP service. Open to everyone, as
 * probes have no credentials.
 *
 *   HealthCheckRequest    1 service string
 *   HealthCheckResponse   1 status ServingStatus: UNKNOWN 0, SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3 (Watch only)
 *   HealthListRequest
 *   HealthListResponse    1 statuses map<string, HealthCheckResponse>
 *
 * (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)
 */
import { status } from '@grpc/grpc-js';
import { ProtobufError, ProtobufReader } from '../protobuf/reader.ts';
import { ProtobufWriter } from '../protobuf/writer.ts';
import type { GrpcCall, GrpcFault, GrpcMethod } from './grpc-call.ts';
import { type GrpcStatus, OK } from './grpc-status.ts';

export interface Health {
  /** By path. */
  readonly methods: ReadonlyMap<string, GrpcMethod>;
  /** Everything is NOT_SERVING from now on, and those who watch are told. */
  stopServing(): void;
  /** Ends what would else never end: the calls of those who watch. */
  close(): void;
}

const SERVICE = 'grpc.health.v1.Health';
const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;
const MAX_REQUEST_BYTES = 4_096;

const FAULTS: Readonly<Record<GrpcFault, number>> = {
  'too-large': status.RESOURCE_EXHAUSTED,
  'no-room': status.UNAVAILABLE,
  malformed: status.INVALID_ARGUMENT,
  bomb: status.RESOURCE_EXHAUSTED,
  misframed: status.INTERNAL,
  'unknown-compression': status.UNIMPLEMENTED,
  'bad-timeout': status.INTERNAL,
  'timed-out': status.DEADLINE_EXCEEDED,
};

/** `services` by full name. */
export function createHealth(services: readonly string[]): Health {
  const known = ['', SERVICE, ...services];
  /** Who watches what, of calls that are open. */
  const watchers = new Map<GrpcCall, string>();
  let serving = true;
  const statusFor = (service: string) => {
    if (!known.includes(service)) return SERVICE_UNKNOWN;
    return serving ? SERVING : NOT_SERVING;
  };

  function method(answer: (call: GrpcCall, service: string) => void): GrpcMethod {
    return {
      maxMessageBytes: MAX_REQUEST_BYTES,
      admit: (call) => ({
        kind: 'admitted',
        serve(body) {
          const service = serviceOf(body.view());
          body.recycle();
          if (service === null) call.end(failure('malformed'));
          else answer(call, service);
        },
      }),
      fault: failure,
    };
  }

  const check = method((call, service) => {
    if (known.includes(service)) call.end(OK, response(statusFor(service)));
    else call.end({ code: status.NOT_FOUND, message: `there is no service ${service} here` });
  });
  const watch = method((call, service) => {
    for (const watcher of watchers.keys()) if (watcher.abandoned) watchers.delete(watcher);
    watchers.set(call, service);
    call.send(response(statusFor(service)));
  });
  const list = method((call) => {
    const writer = new ProtobufWriter(512);
    for (const service of known) {
      writer.message(1, () => {
        writer.string(1, service);
        writer.bytes(2, response(statusFor(service)));
      });
    }
    call.end(OK, writer.finish());
  });

  return {
    methods: new Map([
      [`/${SERVICE}/Check`, check],
      [`/${SERVICE}/Watch`, watch],
      [`/${SERVICE}/List`, list],
    ]),
    stopServing() {
      serving = false;
      for (const [call, service] of watchers) call.send(response(statusFor(service)));
    },
    close() {
      for (const call of watchers.keys())
        call.end({ code: status.UNAVAILABLE, message: 'the bridge is shutting down' });
      watchers.clear();
    },
  };
}

function response(serving: number): Buffer {
  return Buffer.from([0x08, serving]);
}

function failure(fault: GrpcFault): GrpcStatus {
  return { code: FAULTS[fault], message: `the health request failed: ${fault}` };
}

/** null: not a HealthCheckRequest. */
function serviceOf(message: Uint8Array): string | null {
  let service = '';
  try {
    const reader = new ProtobufReader(message);
    while (reader.next()) if (reader.field === 1) service = reader.string();
  } catch (error) {
    if (error instanceof ProtobufError) return null;
    throw error;
  }
  return service;
}
