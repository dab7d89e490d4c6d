/** One Fetch on one connection, its answer in a frame of a pool. */
import { type FetchAnswer, type FetchRequest, fetchRequest } from './fetch-request.ts';
import type { Frame, FramePool } from './frame-pool.ts';
import type { Link } from './link.ts';
import { ConnectionFault } from './outcomes.ts';

/** Both beyond the broker's own wait. A large answer may take long to arrive; over a dead connection none even begins. */
const ANSWER_BEGINS_WITHIN_MS = 10_000;
const ANSWER_WITHIN_MS = 30_000;

/**
 * Sends a fetch. The records of the answer lie in the frame, which the caller releases. `mutedMs`: for so long the broker still
 * ignores requests of this connection, as a quota is used up. Throws ConnectionFault.
 */
export async function fetchInto(
  frames: FramePool,
  link: Link,
  fetch: FetchRequest,
  mutedMs = 0,
): Promise<{ readonly answer: FetchAnswer; readonly frame: Frame }> {
  const taken: Frame[] = [];
  const brokerWaitMs = Math.ceil(mutedMs + fetch.maxWaitMs);
  const beginsWithinMs = brokerWaitMs + ANSWER_BEGINS_WITHIN_MS;
  const silence = setTimeout(() => {
    if (taken.length > 0) return;
    link.destroy(new ConnectionFault(`no answer to Fetch has begun within ${beginsWithinMs} ms`, { sent: true }));
  }, beginsWithinMs);
  try {
    const answer = await link.request(fetchRequest(fetch), brokerWaitMs + ANSWER_WITHIN_MS, (bytes) => {
      const frame = frames.take(bytes);
      taken.push(frame);
      return frame.bytes;
    });
    return { answer, frame: taken[0]! };
  } catch (error) {
    taken[0]?.discard();
    throw error;
  } finally {
    clearTimeout(silence);
  }
}
