/** Decisions on `weir.decisions`: as records, and found again when there is more to say of one. */
import { type Decision, decisionKey, decodeDecision, encodeDecision } from '../control/decision.ts';
import type { KafkaPort, ProducerRecord } from '../kafka/port.ts';
import type { Names } from '../names.ts';
import { tailPartition } from './partition-tail.ts';

/** A decision lies at most so many records back, each with its transaction's marker. */
const DECISIONS_BACK = 1_000;

export function decisionRecord(names: Names, decision: Decision): ProducerRecord {
  const key = Buffer.from(decisionKey(decision.kind, decision.subject));
  return { topic: names.decisions, partition: 0, key, value: encodeDecision(decision) };
}

/** As it was written last; null: it is too far back. */
export async function findDecision(port: KafkaPort, names: Names, id: string): Promise<Decision | null> {
  let found: Decision | null = null;
  const tail = await tailPartition(port, { topic: names.decisions, partition: 0 }, DECISIONS_BACK, (poll) => {
    for (let i = 0; i < poll.count; i++) {
      const value = poll.value(i);
      const decision = value && decodeDecision(value);
      if (decision?.id === id) found = decision;
    }
  });
  await tail.close();
  return found;
}
