import type { Admin, ITopicConfig } from 'kafkajs';
import { eventually } from './eventually.ts';

/**
 * Creates topics by kafkajs's own Admin; resolves when the leader of each partition answers for it. kafkajs itself waits for a
 * topic without a leader, but fails at one that the broker, which has just created it, does not know yet.
 */
export async function createTopics(admin: Admin, topics: ITopicConfig[]): Promise<void> {
  await admin.createTopics({ topics, waitForLeaders: false });
  for (const { topic } of topics) {
    await eventually(() => admin.fetchTopicOffsets(topic));
  }
}
