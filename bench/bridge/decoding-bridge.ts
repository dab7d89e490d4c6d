/**
 * `weir bridge` but for one thing: between it and Kafka each request is decoded and encoded again by the code that protobufjs
 * generates from OTLP's schema, as a bridge does that is written in the usual way. Settings come from the environment.
 */
import { exitAfter, stopSignal } from '../../src/cli/exit.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { KafkaPort, Producer } from '../../src/kafka/port.ts';
import { createLog } from '../../src/log.ts';
import { startBridgePart } from '../../src/roles/bridge-part.ts';
import { type RoleContext, runParts } from '../../src/roles/run.ts';
import { REQUESTS } from '../kernels/peers/schema.ts';

await exitAfter(async () => {
  const config = loadConfig({ env: process.env });
  const options = { log: createLog({ level: config.log.level }), stdout: process.stdout, signal: stopSignal() };
  await runParts('bridge', config, options, [(context) => startBridgePart(decoding(context))]);
  return 0;
});

function decoding(context: RoleContext): RoleContext {
  const { kafka, names } = context;
  const topic = names.ingest('traces');
  const port: KafkaPort = Object.assign(Object.create(kafka.port), {
    producer: async (options: { deliveryTimeoutMs?: number }) =>
      decodingProducer(await kafka.port.producer(options), topic),
  });
  return { ...context, kafka: { ...kafka, port } };
}

/** Of what goes to `topic`: the bridge's reports of its load are no requests. */
function decodingProducer(producer: Producer, topic: string): Producer {
  const type = REQUESTS.traces;
  const again = (value: Uint8Array) => type.encode(type.decode(value)).finish();
  return {
    send: (records) =>
      producer.send(
        records.map((record) =>
          record.topic === topic ? { ...record, value: again(record.value as Uint8Array) } : record,
        ),
      ),
    close: () => producer.close(),
  };
}
