/** What the corpus talks about: services, hosts, URLs, statements, and how an attribute is written. */
import type { ProtobufWriter } from '../protobuf/writer.ts';
import type { SeededRandom } from './seeded-random.ts';

/** A float is a double even where it is whole: `{ double: 1 }`; a bare number is an int. */
export type AttributeValue = string | number | boolean | { readonly double: number };

/**
 * A KeyValue as field `field`.
 * | KeyValue | | AnyValue | |
 * |---|---|---|---|
 * | 1 key | string | 1 string_value | string |
 * | 2 value | AnyValue | 2 bool_value | varint |
 * | | | 3 int_value | varint |
 * | | | 4 double_value | 64 bits |
 */
export function attribute(writer: ProtobufWriter, field: number, key: string, value: AttributeValue): void {
  writer.message(field, () => {
    writer.string(1, key);
    writer.message(2, () => {
      if (typeof value === 'string') writer.string(1, value);
      else if (typeof value === 'boolean') writer.varint(2, value ? 1 : 0);
      else if (typeof value === 'number') writer.varint(3, value);
      else writer.double(4, value.double);
    });
  });
}

/** One service instance on its host: what its resource says. */
export interface Instance {
  readonly service: string;
  readonly attributes: ReadonlyArray<readonly [string, AttributeValue]>;
  readonly scopes: readonly string[];
}

export interface Fleet {
  readonly instances: readonly Instance[];
  /** The instance that sends next. */
  pick(): Instance;
}

export function createFleet(
  random: SeededRandom,
  options: { readonly services: number; readonly hosts: number; readonly skew: number },
): Fleet {
  const hosts = Math.max(options.hosts, options.services); // Each service runs somewhere.
  const instances = Array.from({ length: hosts }, (_, host) => {
    const service = serviceName(host % options.services);
    return createInstance(random, service, host);
  });
  const byService = Array.from({ length: options.services }, (_, service) =>
    instances.filter((_, host) => host % options.services === service),
  );
  const upTo: number[] = [];
  let weight = 0;
  for (let service = 0; service < options.services; service++) {
    weight += 1 / (service + 1) ** options.skew;
    upTo.push(weight);
  }
  return {
    instances,
    pick() {
      if (options.skew === 0) return random.pick(instances);
      const at = random.unit() * weight;
      return random.pick(byService[upTo.findIndex((bound) => at < bound)]!);
    },
  };
}

function createInstance(random: SeededRandom, service: string, host: number): Instance {
  const hostName = `ip-10-${host >> 6}-${(host * 7) & 0xff}-${(host * 31) & 0xff}.internal`;
  const pod = `${service}-${hex(random, 4)}-${hex(random, 2).slice(0, 5)}`;
  return {
    service,
    attributes: [
      ['service.name', service],
      ['service.namespace', random.pick(NAMESPACES)],
      ['service.version', `${random.integer(1, 4)}.${random.integer(0, 30)}.${random.integer(0, 9)}`],
      ['service.instance.id', `${hex(random, 4)}-${hex(random, 2)}-4${hex(random, 2).slice(1)}-a${hex(random, 6)}`],
      ['host.name', hostName],
      ['k8s.pod.name', pod],
      ['process.pid', random.integer(1, 65_535)],
      ['telemetry.sdk.language', random.pick(LANGUAGES)],
    ],
    scopes: ['@opentelemetry/instrumentation-http', '@opentelemetry/instrumentation-pg', `com.example.${service}`],
  };
}

export function serviceName(index: number): string {
  const stem = SERVICE_STEMS[index % SERVICE_STEMS.length]!;
  const round = Math.floor(index / SERVICE_STEMS.length);
  return round === 0 ? stem : `${stem}-${round + 1}`;
}

/** Lower-case hex digits of `bytes` random bytes. */
export function hex(random: SeededRandom, bytes: number): string {
  let digits = '';
  for (let left = bytes; left > 0; left -= 4) {
    digits += random.uint32().toString(16).padStart(8, '0');
  }
  return digits.slice(0, bytes * 2);
}

const SERVICE_STEMS = [
  'frontend',
  'checkout',
  'cart',
  'payment',
  'shipping',
  'catalogue',
  'search',
  'recommendation',
  'inventory',
  'pricing',
  'currency',
  'email',
  'identity',
  'session',
  'gateway',
  'review',
];
const NAMESPACES = ['shop', 'platform', 'fulfilment'];
const LANGUAGES = ['java', 'go', 'nodejs', 'python', 'dotnet'];

export const METHODS = ['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE'];
export const ROUTES = [
  '/api/v1/products/{id}',
  '/api/v1/cart',
  '/api/v1/cart/{id}/items',
  '/api/v2/orders',
  '/api/v2/orders/{id}/status',
  '/search',
  '/login',
  '/healthz',
];
export const STATEMENTS = [
  'SELECT id, name, price FROM products WHERE category = $1 ORDER BY rank LIMIT 50',
  'UPDATE carts SET updated_at = now(), total = $2 WHERE id = $1',
  'INSERT INTO orders (customer, total, currency) VALUES ($1, $2, $3) RETURNING id',
  'SELECT count(*) FROM sessions WHERE user_id = $1 AND expires_at > now()',
];
export const USER_AGENTS = [
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148',
  'okhttp/4.12.0',
  'grpc-go/1.68.0',
];
export const EXCEPTIONS = [
  ['java.net.SocketTimeoutException', 'Read timed out'],
  ['io.grpc.StatusRuntimeException', 'UNAVAILABLE: upstream connect error'],
  ['TypeError', "Cannot read properties of undefined (reading 'price')"],
  ['psycopg.errors.DeadlockDetected', 'deadlock detected'],
] as const;
