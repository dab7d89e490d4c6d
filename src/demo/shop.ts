/** The simulated shop: its services, who calls whom, and what a request through it looks like. Pure: no clock, no I/O. */
import type { SeededRandom } from '../loadgen/seeded-random.ts';

/** Which of the three OTLP encodings a service exports with. */
export type Protocol = 'grpc' | 'http-protobuf' | 'http-json';

export interface Service {
  readonly name: string;
  readonly instances: number;
  readonly protocol: Protocol;
  readonly operations: readonly string[];
  /** Names of the services that it calls, each with the share of requests that do. */
  readonly calls: ReadonlyArray<readonly [name: string, share: number]>;
  /** Time of its own work, in ms; a slow call takes up to twenty times as long. */
  readonly ownMs: number;
  readonly errorShare: number;
  readonly slowShare: number;
  /** Requests a second at which one instance is fully busy. */
  readonly capacityRps: number;
  readonly database?: string;
}

const service = (
  name: string,
  instances: number,
  protocol: Protocol,
  operations: string[],
  calls: Array<[string, number]>,
  rest: Partial<Service> = {},
): Service => ({
  name,
  instances,
  protocol,
  operations,
  calls,
  ownMs: 8,
  errorShare: 0.01,
  slowShare: 0.02,
  capacityRps: 25,
  ...rest,
});

export const SHOP: readonly Service[] = [
  service(
    'storefront',
    4,
    'grpc',
    ['GET /', 'GET /product/:id', 'POST /cart', 'POST /checkout'],
    [
      ['catalogue', 0.9],
      ['cart', 0.5],
      ['checkout', 0.2],
      ['recommendations', 0.6],
      ['sessions', 1],
    ],
  ),
  service(
    'catalogue',
    3,
    'http-protobuf',
    ['ListProducts', 'GetProduct'],
    [
      ['search', 0.4],
      ['pricing', 0.8],
    ],
    {
      database: 'postgresql',
      capacityRps: 30,
    },
  ),
  service('search', 2, 'http-json', ['Query'], [], { ownMs: 25, slowShare: 0.05, database: 'opensearch' }),
  service('pricing', 2, 'grpc', ['GetPrice', 'GetDiscount'], [], { ownMs: 3, capacityRps: 40 }),
  service('cart', 3, 'http-protobuf', ['AddItem', 'GetCart'], [['inventory', 0.7]], { database: 'redis' }),
  service('inventory', 2, 'http-json', ['Reserve', 'Lookup'], [], { database: 'postgresql', errorShare: 0.03 }),
  service(
    'checkout',
    3,
    'grpc',
    ['PlaceOrder'],
    [
      ['payment', 1],
      ['shipping', 0.8],
      ['inventory', 1],
      ['mail', 0.9],
    ],
    {
      capacityRps: 8,
    },
  ),
  service('payment', 2, 'http-protobuf', ['Authorise', 'Capture'], [['fraud', 1]], {
    ownMs: 40,
    errorShare: 0.04,
    capacityRps: 9,
  }),
  service('fraud', 2, 'http-json', ['Score'], [], { ownMs: 15, slowShare: 0.08, capacityRps: 9 }),
  service('shipping', 2, 'grpc', ['Quote', 'CreateShipment'], [], { capacityRps: 9 }),
  service('mail', 2, 'http-protobuf', ['Send'], [], { ownMs: 12, capacityRps: 10 }),
  service('recommendations', 5, 'http-json', ['Recommend'], [['catalogue', 0.3]], { ownMs: 30, capacityRps: 12 }),
  service('sessions', 2, 'grpc', ['Touch'], [], { ownMs: 2, database: 'redis', capacityRps: 55 }),
];

/** One call within a request, in the order in which the calls begin. Times in ms from the request's start. */
export interface Call {
  readonly service: Service;
  readonly instance: number;
  readonly operation: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly failed: boolean;
  readonly slow: boolean;
  readonly children: readonly Call[];
}

const byName = new Map(SHOP.map((one) => [one.name, one]));

/** One request from the storefront down. */
export function requestThroughShop(random: SeededRandom, from: Service = SHOP[0] as Service, startMs = 0): Call {
  const slow = random.unit() < from.slowShare;
  const ownMs = from.ownMs * (0.5 + random.unit()) * (slow ? 5 + 15 * random.unit() : 1);
  const children: Call[] = [];
  let atMs = startMs + ownMs / 2;
  for (const [name, share] of from.calls) {
    if (random.unit() >= share) continue;
    const child = requestThroughShop(random, byName.get(name) as Service, atMs);
    children.push(child);
    atMs = child.endMs;
  }
  return {
    service: from,
    instance: Math.floor(random.unit() * from.instances),
    operation: from.operations[Math.floor(random.unit() * from.operations.length)] as string,
    startMs,
    endMs: atMs + ownMs / 2,
    failed: random.unit() < from.errorShare || children.some((child) => child.failed && random.unit() < 0.5),
    slow,
    children,
  };
}

/** The day of the shop lasts 80 s: requests a second at `seconds` after the opening, quiet at first, busy after 15. */
export function requestsPerSecond(seconds: number, peak: number): number {
  const wave = Math.sin((2 * Math.PI * (seconds - 5)) / 80);
  return peak * Math.max(0.12, 0.55 + 0.5 * wave);
}
