/**
 * The contract of src/kafka/port.ts as tests, the same for every adapter. Where the in-process log and Apache Kafka differ, the
 * truth is what Kafka does.
 */
import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import type { ContractHarness } from './harness.ts';
import { adminContract } from './suite/admin.ts';
import { closingContract } from './suite/closing.ts';
import { groupsContract } from './suite/groups.ts';
import { isolationContract } from './suite/isolation.ts';
import { producingContract } from './suite/producing.ts';
import { readingContract } from './suite/reading.ts';
import { Scene } from './suite/scene.ts';
import { sharedPartitionContract } from './suite/shared-partition.ts';
import { tenureContract } from './suite/tenure.ts';
import { transactionsContract } from './suite/transactions.ts';

export function contractSuite(name: string, makeHarness: () => Promise<ContractHarness>): void {
  describe(`the Kafka port on ${name}`, () => {
    let harness: ContractHarness;
    let current: Scene;
    const scene = () => current;

    beforeAll(async () => {
      harness = await makeHarness();
      current = await Scene.set(harness);
    }, 120_000);
    afterEach(() => current.endTest(), 60_000);
    afterAll(async () => {
      await current?.clear();
      await harness?.close();
    }, 60_000);

    readingContract(scene);
    isolationContract(scene);
    sharedPartitionContract(scene);
    transactionsContract(scene);
    producingContract(scene);
    groupsContract(scene);
    tenureContract(scene);
    adminContract(scene);
    closingContract(scene);
  });
}
