import { describe, expect, it } from 'vitest';
import { PATIENCE_MS } from '../../support/eventually.ts';
import { join, settled } from './crew.ts';
import { bytes, type Scene } from './scene.ts';

/** What keeps the process alive: sockets and timers, by kind. */
function openHandles(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (kind === 'Timeout' || kind.startsWith('TCP') || kind.startsWith('TLS')) {
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
  }
  return counts;
}

export function closingContract(scene: () => Scene): void {
  describe('closing a port', () => {
    it('ends its polls and members', async () => {
      const topic = await scene().topic(2);
      const port = await scene().connect();
      const reader = port.reader({ topic, partition: 0 });
      await reader.seek('earliest');
      const polled = reader.poll(PATIENCE_MS);
      const crewman = join(scene(), { groupId: scene().name('group'), topics: [topic] }, undefined, port);
      await settled([crewman], [`${topic}/0`, `${topic}/1`]);
      await port.close();
      expect(await polled).toEqual({ kind: 'ended' });
      await crewman.member.done;
      expect(crewman.partitions.every((partition) => partition.signal.aborted)).toBe(true);
      expect(crewman.running()).toEqual([]);
    });

    it('leaves nothing open that would keep the process alive', async () => {
      const topic = await scene().topic(2);
      const before = openHandles();
      const port = await scene().harness.connect();
      const crewman = join(scene(), { groupId: scene().name('group'), topics: [topic] }, undefined, port);
      await settled([crewman], [`${topic}/0`, `${topic}/1`]);
      const producer = await port.producer();
      await producer.send([{ topic, partition: 0, value: bytes('x') }]);
      const sink = await port.openSink({
        fencingKey: scene().name('key'),
        groupId: scene().name('group'),
        transactionTimeoutMs: 60_000,
      });
      sink.stage(topic, 0, bytes('y'));
      expect((await sink.commit([])).kind).toBe('committed');
      const reader = port.reader({ topic, partition: 0 });
      await reader.seek('earliest');
      await reader.poll(100);
      await port.close();
      await port.close();
      // Looked at between two timers of its own, which would else be counted, too.
      let left = new Map<string, number>();
      for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; ) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        left = new Map([...openHandles()].filter(([kind, count]) => count > (before.get(kind) ?? 0)));
        if (left.size === 0) break;
      }
      expect([...left]).toEqual([]);
    });

    it('leaves the other clients of the log alone', async () => {
      const topic = await scene().topic();
      const port = await scene().harness.connect();
      await port.admin.listTopics();
      await port.close();
      await scene().putTexts(topic, ['still here']);
      expect(await scene().readTexts(topic)).toEqual(['still here']);
    });
  });
}
