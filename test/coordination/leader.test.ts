import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ControlLogFollower, followControlLog } from '../../src/coordination/control-log.ts';
import type { LedEvent } from '../../src/coordination/events.ts';
import { type Election, electLeader } from '../../src/coordination/leader.ts';
import type { Leadership } from '../../src/coordination/leadership.ts';
import { createFaults, createMemoryKafka, type MemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import type { Names } from '../../src/names.ts';
import { createControlTopics, readAll } from './cluster.ts';

const cleared = (subject: string): LedEvent => ({
  type: 'ConditionCleared',
  version: 1,
  at: 1,
  kind: 'scaling',
  subject,
});

/** A candidate whose terms can be awaited one by one. */
class Terms {
  readonly election: Election;
  readonly troubles: string[] = [];
  #waiting: ((lead: Leadership) => void)[] = [];
  #held: Leadership[] = [];

  constructor(port: KafkaPort, names: Names, memberName: string, log: ControlLogFollower) {
    this.election = electLeader({
      port,
      groupId: names.controlGroup,
      topic: names.control,
      fencingKey: names.leaderKey('control'),
      name: 'control',
      memberName,
      log,
      sessionTimeoutMs: 6_000,
      transactionTimeoutMs: 10_000,
      rejoinDelayMs: 10,
      onTrouble: (cause) => this.troubles.push(cause.message),
      onElected: async (lead) => {
        const waiting = this.#waiting.shift();
        if (waiting) waiting(lead);
        else this.#held.push(lead);
        await ended(lead);
      },
    });
  }

  next(): Promise<Leadership> {
    const held = this.#held.shift();
    return held ? Promise.resolve(held) : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

const ended = (lead: Leadership) =>
  new Promise<void>((resolve) => {
    if (lead.signal.aborted) resolve();
    else lead.signal.addEventListener('abort', () => resolve(), { once: true });
  });

describe('electLeader', () => {
  let kafka: MemoryKafka;
  let names: Names;
  const opened: { close(): Promise<unknown> }[] = [];
  const keep = <T extends { close(): Promise<unknown> }>(one: T): T => {
    opened.unshift(one);
    return one;
  };
  beforeEach(async () => {
    kafka = createMemoryKafka();
    names = await createControlTopics(kafka.connect());
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
  });

  async function candidate(memberName: string, port = keep(kafka.connect())): Promise<Terms> {
    const log = keep(await followControlLog(port, names));
    const terms = new Terms(port, names, memberName, log);
    keep(terms.election);
    return terms;
  }

  it('lets one of two lead, and the other one after it, with a greater leader epoch', async () => {
    const [a, b] = [await candidate('a'), await candidate('b')];
    const terms = [a.next(), b.next()] as const;
    const first = await Promise.race(terms);
    const winner = a.election.leadership === first ? a : b;
    const other = winner === a ? b : a;
    expect(other.election.leadership).toBeNull();
    expect(await first.write({ events: [cleared('x')] })).toEqual({ kind: 'committed' });
    await winner.election.close();
    expect(first.signal.aborted).toBe(true);
    const second = await terms[winner === a ? 1 : 0];
    expect(second.leaderEpoch).toBeGreaterThan(first.leaderEpoch);
    expect(second.state.leaders.get('control')!.leaderEpoch).toBe(second.leaderEpoch);
  });

  it('cannot answer a request any more once the group has dropped it, also before there is another', async () => {
    const lead = await (await candidate('a')).next();
    const answer = { events: [cleared('x')], offsets: [{ topic: names.requests, partition: 0, offset: 1n }] };
    expect(await lead.write(answer)).toEqual({ kind: 'committed' });
    kafka.expireMember(names.controlGroup, lead.state.leaders.get('control')!.memberId);
    expect(await lead.write(answer)).toMatchObject({ kind: 'fenced' });
    expect(lead.signal.aborted).toBe(true);
  });

  it('has read everything that earlier leaders wrote before it acts', async () => {
    const a = await candidate('a');
    const first = await a.next();
    await first.write({
      events: [
        {
          type: 'DecisionMade',
          version: 1,
          at: 1,
          id: '0-1',
          kind: 'scaling',
          subject: 's',
          fingerprint: 'f',
          until: 2,
          inputOffset: 3,
        },
      ],
    });
    await a.election.close();
    const faults = createFaults();
    const port = keep(kafka.connect(faults.intercept));
    const log = keep(await followControlLog(port, names));
    // Its view of the log lags: it is elected, but must not act.
    const release = faults.stall(({ name }) => name === 'Fetch');
    const b = new Terms(port, names, 'b', log);
    keep(b.election);
    const other = keep(await followControlLog(keep(kafka.connect()), names));
    await other.waitFor((state) => state.leaders.get('control')?.member === 'b');
    expect(b.election.leadership).toBeNull();
    release();
    const second = await b.next();
    expect(second.state.decisions.get('scaling/s')).toMatchObject({ fingerprint: 'f', until: 2 });
  });

  it('sees its own writes at once, in order, numbered under its leader epoch', async () => {
    const lead = await (await candidate('a')).next();
    await Promise.all(['x', 'y', 'z'].map((subject) => lead.write({ events: [cleared(subject)] })));
    expect(lead.state.leaders.get('control')!.sequence).toBe(3);
    const events = (await readAll(keep(kafka.connect()), names.control)).map((value) =>
      JSON.parse(Buffer.from(value).toString()),
    );
    expect(events.slice(1).map(({ subject, sequence, leaderEpoch }) => [subject, sequence, leaderEpoch])).toEqual([
      ['x', 1, lead.leaderEpoch],
      ['y', 2, lead.leaderEpoch],
      ['z', 3, lead.leaderEpoch],
    ]);
  });

  it('writes events, decisions and offsets in one transaction', async () => {
    const port = keep(kafka.connect());
    const lead = await (await candidate('a', port)).next();
    const outcome = await lead.write({
      events: [cleared('x')],
      records: [{ topic: names.decisions, partition: 0, value: Buffer.from('{}') }],
      offsets: [{ topic: names.requests, partition: 0, offset: 5n }],
    });
    expect(outcome).toEqual({ kind: 'committed' });
    expect(await readAll(port, names.decisions)).toHaveLength(1);
    expect((await port.admin.committedOffsets(names.controlGroup, names.requests))[0]!.offset).toBe(5n);
  });

  it('cannot write any more once a successor was elected while it was paused', async () => {
    const faults = createFaults();
    const stale = await candidate('stale', keep(kafka.connect(faults.intercept)));
    const first = await stale.next();
    const { memberId } = first.state.leaders.get('control')!;
    const release = faults.stall();
    // Paused in the middle of a write.
    const write = first.write({ events: [cleared('from the grave')] });
    kafka.expireMember(names.controlGroup, memberId);
    const fresh = await candidate('fresh');
    const second = await fresh.next();
    release();
    expect((await write).kind).toBe('fenced');
    await ended(first);
    expect((await first.write({ events: [cleared('again')] })).kind).toBe('fenced');
    expect(await second.write({ events: [cleared('rightful')] })).toEqual({ kind: 'committed' });
    const texts = (await readAll(keep(kafka.connect()), names.control)).map((value) => Buffer.from(value).toString());
    expect(texts.filter((text) => text.includes('subject')).map((text) => JSON.parse(text).subject)).toEqual([
      'rightful',
    ]);
    expect(fresh.election.leadership).toBe(second);
  });

  it('rejoins under a newer generation when it does not know what became of a write', async () => {
    const faults = createFaults();
    const one = await candidate('a', keep(kafka.connect(faults.intercept)));
    const first = await one.next();
    faults.next(({ name, transactional }) => name === 'Produce' && transactional, 'lose-reply');
    const outcome = await first.write({ events: [cleared('x')] });
    expect(outcome.kind).toBe('reopen');
    expect(first.signal.aborted).toBe(true);
    const second = await one.next();
    expect(second.leaderEpoch).toBeGreaterThan(first.leaderEpoch);
    expect(await second.write({ events: [cleared('y')] })).toEqual({ kind: 'committed' });
    expect(one.troubles).toHaveLength(1);
  });

  it('ends with the error of a duty that is broken, instead of going silent', async () => {
    const port = keep(kafka.connect());
    const log = keep(await followControlLog(port, names));
    const election = electLeader({
      port,
      groupId: names.controlGroup,
      topic: names.control,
      fencingKey: names.leaderKey('control'),
      name: 'control',
      memberName: 'a',
      log,
      sessionTimeoutMs: 6_000,
      transactionTimeoutMs: 10_000,
      onElected: () => Promise.reject(new TypeError('a bug')),
    });
    keep(election);
    await expect(election.done).rejects.toThrow('a bug');
  });

  it('elects for any name, side by side', async () => {
    const port = keep(kafka.connect());
    const log = keep(await followControlLog(port, names));
    const leads = await Promise.all(
      ['control', 'janitor'].map(
        (name) =>
          new Promise<Leadership>((resolve) => {
            keep(
              electLeader({
                port,
                groupId: `${names.controlGroup}-${name}`,
                topic: names.control,
                fencingKey: names.leaderKey(name),
                name,
                memberName: name,
                log,
                sessionTimeoutMs: 6_000,
                transactionTimeoutMs: 10_000,
                onElected: (lead) => {
                  resolve(lead);
                  return ended(lead);
                },
              }),
            );
          }),
      ),
    );
    expect(leads.map(({ name }) => log.state.leaders.get(name)!.member)).toEqual(['control', 'janitor']);
    expect(leads.some(({ signal }) => signal.aborted)).toBe(false);
  });
});
