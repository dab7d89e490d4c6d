/** A new leader whose view of the control log lags: it must not act on what its predecessor has overtaken. */
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Config } from '../../src/config.ts';
import { type ControlLogFollower, followControlLog } from '../../src/coordination/control-log.ts';
import { type ControlEvent, decodeEvent } from '../../src/coordination/events.ts';
import { encodeRequest, type Request } from '../../src/coordination/requests.ts';
import { createMemoryKafka, type MemoryKafka } from '../../src/kafka/memory/index.ts';
import type { KafkaPort } from '../../src/kafka/port.ts';
import { createMetrics } from '../../src/metrics.ts';
import { type Names, namesFor } from '../../src/names.ts';
import { type Controller, startController } from '../../src/runtime/controller.ts';
import { ensureTopics } from '../../src/topics/ensure-topics.ts';
import { kernels, produce, readAll, testConfig } from '../coordination/cluster.ts';
import { gatePort } from '../support/gated-port.ts';

const config: Config = { ...testConfig('l.'), control: { ...testConfig('l.').control, tickMs: 5 } };
const names: Names = namesFor('l.');

let kafka: MemoryKafka;
let port: KafkaPort;
let control: ControlLogFollower;
let running: Controller[];

beforeEach(async () => {
  kafka = createMemoryKafka();
  port = kafka.connect();
  await ensureTopics(port.admin, { config, names });
  control = await followControlLog(port, names);
  running = [];
});
afterEach(async () => {
  for (const controller of running) await controller.close();
  await control.close();
  await port.close();
});

/** `ticks`: rounds of its duty that are done. */
async function start(memberName: string, by: KafkaPort) {
  const member = { ticks: 0, controller: null as unknown as Controller };
  const [metrics, log] = [createMetrics(), pino({ level: 'silent' })];
  const onTick = () => member.ticks++;
  member.controller = await startController({ port: by, names, config, kernels, metrics, log, memberName, onTick });
  running.push(member.controller);
  return member;
}

/** Also a second time, as a producer does that did not hear of the first. */
const ask = (id: string, wish: Request['wish']) => {
  const at = Date.now();
  return produce(
    port,
    names.requests,
    encodeRequest({ version: 1, id, member: 'm', at, expiresAt: at + 60_000, wish }),
  );
};
const events = async (type: ControlEvent['type']) =>
  (await readAll(port, names.control)).map((value) => decodeEvent(value, 'the log')).filter((of) => of.type === type);

const answersTo = async (id: string) =>
  (await events('RequestAnswered')).flatMap((of) =>
    of.type === 'RequestAnswered' && of.id === id ? [[of.outcome, of.ringEpoch]] : [],
  );

/** `before` by a first leader, unseen by the second one; then `again` is asked, and the second leader answers `last`. */
async function takeOver(before: () => Promise<unknown>, again: () => Promise<unknown>): Promise<void> {
  const first = await start('first', port);
  await control.waitFor(({ ring }) => ring !== null);
  const gated = gatePort(kafka.connect(), names.control);
  const second = await start('second', gated.port);
  const release = gated.hold();
  await before();
  await first.controller.close();
  await control.waitFor(({ leaders }) => leaders.get('control')!.member === 'second');
  const { leaderEpoch } = control.state.leaders.get('control')!;
  await again();
  await ask('last', { kind: 'cancel', id: 'none such' });
  // It is elected, and everything that it could act on is there.
  expect(second.ticks).toBe(0);
  expect(control.state.leaders.get('control')).toMatchObject({ leaderEpoch, sequence: 0 });
  release();
  await control.waitFor(({ answers }) => answers.has('last'));
}

it('proposes no second ring epoch for a request that its predecessor has granted, and answers it as that did', async () => {
  const split = () => ask('r', { kind: 'split', shard: 'traces-0000' });
  await takeOver(async () => {
    await split();
    await control.waitFor(({ answers }) => answers.has('r'));
  }, split);
  expect(await events('RingProposed')).toMatchObject([{ epoch: 2, requestId: 'r' }]);
  expect(await answersTo('r')).toEqual([
    ['accepted', 2],
    ['accepted', 2],
  ]);
});

it('grants no second lock', async () => {
  const acquire = (id: string, wait: boolean) => ask(id, { kind: 'acquire', resource: 'maps', ttlMs: 60_000, wait });
  await takeOver(
    async () => {
      await acquire('a', false);
      await acquire('b', true);
      await control.waitFor(({ waiting }) => waiting.length === 1);
    },
    async () => {
      await acquire('a', false);
      await acquire('b', true);
      await acquire('c', false);
    },
  );
  expect(await events('LockGranted')).toMatchObject([{ requestId: 'a' }]);
  expect(await events('LockQueued')).toMatchObject([{ requestId: 'b' }]);
  expect((await answersTo('a')).map(([outcome]) => outcome)).toEqual(['accepted', 'accepted']);
  expect((await answersTo('c')).map(([outcome]) => outcome)).toEqual(['refused']);
});
