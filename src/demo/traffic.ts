/** The shop's customers: requests at a rate that rises and falls, told to the instances' telemetry. */
import { type Context, ROOT_CONTEXT, SeverityNumber, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { createSeededRandom } from '../loadgen/seeded-random.ts';
import { type Call, type Protocol, requestsPerSecond, requestThroughShop, type Service, SHOP } from './shop.ts';
import { type Endpoints, type InstanceTelemetry, openTelemetry } from './telemetry.ts';

export interface Demo {
  /** Spans begun so far. */
  readonly spans: number;
  close(): Promise<void>;
}

const STEP_MS = 100;
const MEMORY_LIMIT_BYTES = 512 * 1024 * 1024;

interface Instance extends InstanceTelemetry {
  /** Requests since `sinceMs`, from which its CPU follows. */
  requests: number;
  sinceMs: number;
}

/** `peakRps`: requests a second through the storefront at the busiest; each makes about ten spans. */
export function startDemo(endpoints: Endpoints, { peakRps = 100, seed = 1 } = {}): Demo {
  const random = createSeededRandom(seed);
  const protocols = new Map<Protocol, ReturnType<typeof openTelemetry>>();
  for (const { protocol } of SHOP) {
    if (!protocols.has(protocol)) protocols.set(protocol, openTelemetry(protocol, endpoints));
  }
  const instances = new Map(
    SHOP.map((service) => [
      service.name,
      Array.from({ length: service.instances }, (_, i) => openInstance(service, i)),
    ]),
  );
  let spans = 0;
  let owed = 0;
  const openedAt = Date.now();

  function openInstance(service: Service, index: number): Instance {
    const telemetry = protocols.get(service.protocol)!.instance({
      'service.name': service.name,
      'service.instance.id': `${service.name}-${index}`,
      'service.namespace': 'shop',
      'service.version': '1.4.2',
      'host.name': `node-${(service.name.length + index) % 6}`,
      'deployment.environment.name': 'demo',
    });
    const instance: Instance = { ...telemetry, requests: 0, sinceMs: Date.now() };
    telemetry.meter.createObservableGauge('process.cpu.utilization', { unit: '1' }).addCallback((result) => {
      const now = Date.now();
      const rps = instance.requests / Math.max(0.5, (now - instance.sinceMs) / 1e3);
      instance.requests = 0;
      instance.sinceMs = now;
      result.observe(Math.min(1, rps / service.capacityRps));
    });
    telemetry.meter.createObservableGauge('container.memory.usage', { unit: 'By' }).addCallback((result) => {
      result.observe(MEMORY_LIMIT_BYTES * Math.min(0.95, 0.35 + instance.requests / (service.capacityRps * 8)));
    });
    telemetry.meter.createObservableGauge('k8s.container.memory.limit', { unit: 'By' }).addCallback((result) => {
      result.observe(MEMORY_LIMIT_BYTES);
    });
    return instance;
  }

  function tell(call: Call, startedAt: number, parent: Context): void {
    const instance = instances.get(call.service.name)![call.instance]!;
    instance.requests += 1;
    spans += 1;
    const startTime = startedAt + call.startMs;
    const span = instance.tracer.startSpan(
      call.operation,
      { kind: SpanKind.SERVER, startTime, attributes: { 'rpc.method': call.operation, 'shop.slow': call.slow } },
      parent,
    );
    const context = trace.setSpan(parent, span);
    if (call.service.database) {
      spans += 1;
      const attributes = {
        'db.system.name': call.service.database,
        'db.query.text': 'SELECT * FROM items WHERE id = ?',
      };
      instance.tracer
        .startSpan('query', { kind: SpanKind.CLIENT, startTime: startTime + 0.2, attributes }, context)
        .end(startTime + Math.max(0.4, (call.endMs - call.startMs) / 3));
    }
    for (const child of call.children) tell(child, startedAt, context);
    if (call.failed) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: 'upstream said no' });
      span.recordException(new Error(`${call.operation} failed`), startedAt + call.endMs);
    }
    if (call.failed || call.slow) {
      instance.logger.emit({
        severityNumber: call.failed ? SeverityNumber.ERROR : SeverityNumber.WARN,
        severityText: call.failed ? 'ERROR' : 'WARN',
        body: call.failed
          ? `${call.operation} failed`
          : `${call.operation} took ${Math.round(call.endMs - call.startMs)} ms`,
        timestamp: startedAt + call.endMs,
        context,
      });
    }
    span.end(startedAt + call.endMs);
  }

  const timer = setInterval(() => {
    owed += (requestsPerSecond((Date.now() - openedAt) / 1e3, peakRps) * STEP_MS) / 1e3;
    for (; owed >= 1; owed--) tell(requestThroughShop(random), Date.now(), ROOT_CONTEXT);
  }, STEP_MS);

  return {
    get spans() {
      return spans;
    },
    async close() {
      clearInterval(timer);
      await Promise.all([...protocols.values()].map((protocol) => protocol.close()));
    },
  };
}
