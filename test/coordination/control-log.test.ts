import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { followControlLog } from '../../src/coordination/control-log.ts';
import { encodeEvent, ringActiveEvent } from '../../src/coordination/events.ts';
import { firstRing } from '../../src/coordination/first-ring.ts';
import { createFaults, createMemoryKafka, type MemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import type { Names } from '../../src/names.ts';
import { createControlTopics, kernels, produce, testConfig } from './cluster.ts';

describe('the follower of the control log', () => {
  let kafka: MemoryKafka;
  let port: KafkaPort;
  let names: Names;
  const ring = firstRing(testConfig(), kernels.ring, kernels.hash);
  const active = (epoch: number) => encodeEvent(ringActiveEvent({ ...ring, epoch }, 1));

  beforeEach(async () => {
    kafka = createMemoryKafka();
    port = kafka.connect();
    names = await createControlTopics(port);
  });
  afterEach(() => port.close());

  it('has folded what was in the log before it is handed out', async () => {
    await produce(port, names.control, active(1));
    const log = await followControlLog(port, names);
    expect(log.state.ring).toEqual(ring);
    expect(log.state.nextOffset).toBe(1n);
    await log.close();
    await log.done;
  });

  it('wakes who waits for a state, and tells each change once', async () => {
    const log = await followControlLog(port, names);
    const epochs: number[] = [];
    const stop = log.onChange((state) => epochs.push(state.ring!.epoch));
    const second = log.waitFor((state) => state.ring?.epoch === 2);
    await produce(port, names.control, active(1));
    await produce(port, names.control, active(2));
    expect((await second).ring!.epoch).toBe(2);
    stop();
    await produce(port, names.control, active(3));
    await log.waitFor((state) => state.ring?.epoch === 3);
    expect(epochs).toEqual([1, 2]);
    await log.close();
  });

  it('shows nothing of a transaction that is open or aborted', async () => {
    const log = await followControlLog(port, names);
    const sinkOptions = { fencingKey: 'k', groupId: 'g', transactionTimeoutMs: 10_000 };
    const staged = await port.openSink(sinkOptions);
    staged.stage(names.control, 0, active(7));
    staged.abort();
    await staged.close();
    await produce(port, names.control, active(1));
    const seen = await log.waitFor((state) => state.ring !== null);
    expect(seen.ring!.epoch).toBe(1);
    await log.close();
  });

  it('stops a wait when its signal is aborted', async () => {
    const log = await followControlLog(port, names);
    const stop = new AbortController();
    const waiting = log.waitFor(() => false, { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await log.close();
    await expect(log.waitFor(() => false)).rejects.toThrow('was closed');
  });

  const unreadable: [what: string, value: Uint8Array | null, says: RegExp][] = [
    [
      'an unknown version',
      Buffer.from('{"type":"RingActive","version":3}'),
      /offset 0: version 3 of the event RingActive is unknown/,
    ],
    [
      'an unknown type',
      Buffer.from('{"type":"Coup","version":1}'),
      /offset 0: the event type Coup \(version 1\) is unknown/,
    ],
    ['a type that every object has', Buffer.from('{"type":"toString","version":1}'), /the event type toString/],
    ['no JSON', Buffer.from([0xff, 0x00]), /the record is not JSON/],
    ['no value', null, /the record has no value/],
    [
      'a field of another type',
      Buffer.from('{"type":"ConditionCleared","version":1,"at":"x"}'),
      /ConditionCleared is damaged/,
    ],
    [
      'a slot table of the wrong length',
      Buffer.from(new TextDecoder().decode(active(1)).replaceAll('"slotBits":16', '"slotBits":18')),
      /the slot table of traces has 65536 slots, not 262144/,
    ],
  ];

  it.each(unreadable)('refuses a log with an event of %s', async (_what, value, says) => {
    await produce(port, names.control, value);
    await expect(followControlLog(port, names)).rejects.toMatchObject({
      code: 'CONTROL_LOG_UNREADABLE',
      message: says,
    });
  });

  it('fails who waits, and stands still, when an unknown event comes later', async () => {
    await produce(port, names.control, active(1));
    const log = await followControlLog(port, names);
    const failed = expect(log.waitFor((state) => state.ring?.epoch === 2)).rejects.toMatchObject({
      code: 'CONTROL_LOG_UNREADABLE',
    });
    await produce(port, names.control, Buffer.from('{"type":"RingActive","version":99}'));
    await produce(port, names.control, active(2));
    await failed;
    await expect(log.done).rejects.toMatchObject({ code: 'CONTROL_LOG_UNREADABLE' });
    expect(log.state.ring!.epoch).toBe(1);
    await log.close();
  });

  it('says that the log lost records before it could read them', async () => {
    await produce(port, names.control, active(1));
    const faults = createFaults();
    const slow = kafka.connect(faults.intercept);
    const log = await followControlLog(slow, names);
    const release = faults.stall(({ name }) => name === 'Fetch');
    await produce(port, names.control, active(2));
    await produce(port, names.control, active(3));
    kafka.truncate(names.control, 0, 3n);
    release();
    // A fetch that was already answered may have brought the second record, not the third.
    await expect(log.done).rejects.toMatchObject({ code: 'CONTROL_LOG_UNREADABLE', message: /must be kept for ever/ });
    await log.close();
    await slow.close();
  });
});
