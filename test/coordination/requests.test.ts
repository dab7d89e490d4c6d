import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ControlLogFollower, followControlLog } from '../../src/coordination/control-log.ts';
import { encodeEvent, type RequestAnswered } from '../../src/coordination/events.ts';
import { askLeader, decodeRequest, type Request } from '../../src/coordination/requests.ts';
import { createMemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import type { Names } from '../../src/names.ts';
import { createControlTopics, produce, readAll } from './cluster.ts';

const wish = { kind: 'split', shard: 'a' } as const;

describe('a request to the leader', () => {
  let port: KafkaPort;
  let names: Names;
  let log: ControlLogFollower;
  beforeEach(async () => {
    port = createMemoryKafka().connect();
    names = await createControlTopics(port);
    log = await followControlLog(port, names);
  });
  afterEach(async () => {
    await log.close();
    await port.close();
  });

  /** Once so many are there. */
  async function requests(count: number): Promise<Request[]> {
    for (;;) {
      const values = await readAll(port, names.requests);
      if (values.length >= count) return values.map((value) => (decodeRequest(value) as { request: Request }).request);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  const answer = (id: string, outcome: RequestAnswered['outcome'], ringEpoch?: number) =>
    produce(
      port,
      names.control,
      encodeEvent({
        ...{ type: 'RequestAnswered', version: 1, at: 1, leaderEpoch: 0, sequence: 1 },
        ...{ id, outcome, text: `it is ${outcome}`, ringEpoch },
      }),
    );

  it('is answered by the event that names it, and by no other', async () => {
    const asked = askLeader(port, names, log, wish, { member: 'm' });
    const [request] = await requests(1);
    expect(request).toMatchObject({ version: 1, member: 'm', wish });
    expect(request!.expiresAt - request!.at).toBe(30_000);
    await answer('another', 'refused');
    await answer(request!.id, 'accepted', 7);
    expect(await asked).toEqual({ id: request!.id, outcome: 'accepted', text: 'it is accepted', ringEpoch: 7 });
  });

  it('fails with what the leader says when it is refused', async () => {
    const asked = askLeader(port, names, log, wish, { member: 'm' });
    const refused = expect(asked).rejects.toMatchObject({ code: 'REQUEST_REFUSED', message: 'it is refused' });
    await answer((await requests(1))[0]!.id, 'refused');
    await refused;
  });

  it.each(['cancelled', 'accepted'] as const)(
    'is taken back when its signal is aborted, and tells that it was %s',
    async (outcome) => {
      const stop = new AbortController();
      const asked = askLeader(port, names, log, wish, { member: 'm', signal: stop.signal }).then(
        ({ text }) => text,
        (error: Error) => error.message,
      );
      const [request] = await requests(1);
      stop.abort();
      const [, cancel] = await requests(2);
      expect(cancel!.wish).toEqual({ kind: 'cancel', id: request!.id });
      await answer(request!.id, outcome);
      expect(await asked).toBe(`it is ${outcome}`);
    },
  );

  it('is not waited for for ever', async () => {
    const asked = askLeader(port, names, log, wish, { member: 'm', timeoutMs: 10, graceMs: 10 });
    await expect(asked).rejects.toMatchObject({
      code: 'REQUEST_UNANSWERED',
      message: /See that a `weir control` runs/,
    });
  });

  it.each([
    ['no JSON', Buffer.from('{'), null],
    ['no value', null, null],
    ['another version', Buffer.from('{"id":"x","version":2}'), 'x'],
    [
      'an unknown wish',
      Buffer.from(JSON.stringify({ version: 1, id: 'y', member: '', at: 1, expiresAt: 2, wish: { kind: 'burn' } })),
      'y',
    ],
  ])('is told apart when it is %s', (_what, value, id) => {
    expect(decodeRequest(value)).toMatchObject({ kind: 'unreadable', id });
  });
});
