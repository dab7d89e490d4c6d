/**
 * Bugs to be found: each stands between a member and its connection, so that the code under test is as it is. They make the member do what it
 * would do if one safeguard were missing from it.
 */
import { decodeEvent } from '../../src/coordination/events.ts';
import { decodeRequest, encodeRequest } from '../../src/coordination/requests.ts';
import type { KafkaPort, Poll, SinkOptions, TransactionalSink } from '../../src/kafka/port.ts';
import type { Names } from '../../src/names.ts';
import { standIn } from '../support/stand-in.ts';
import type { Seat } from './members.ts';

export const PLANTED_BUGS = {
  'adopts-silently': 'a processor adopts a ring epoch without writing it to the metadata of its offset',
  'forgets-epochs':
    'a processor opens a partition without waiting for the ring epoch that its offset was written under',
  'skips-a-partition': 'the leader activates without waiting for one partition',
  'unfenced-leader': 'a leader writes on after another was elected: each has a fencing key of its own',
  'trusts-old-tokens': 'a leader does not look whether the token that a request names is the latest of its lock',
  'forgets-keys': 'a leader that gives a key back to its slot copies nothing of what the key has in its shards',
  'unkept-offsets': 'a leader answers requests without committing how far it has read them',
} as const;

export type PlantedBug = keyof typeof PLANTED_BUGS;

export function plant(bug: PlantedBug, port: KafkaPort, { role, index }: Seat, names: Names): KafkaPort {
  const [onProcessors, onControllers] = [role === 'process', role === 'control'];
  switch (bug) {
    case 'adopts-silently':
      return onProcessors ? withSinks(port, silent) : port;
    case 'forgets-epochs': {
      if (!onProcessors) return port;
      const committedOffset: KafkaPort['admin']['committedOffset'] = async (groupId, at) => {
        const committed = await port.admin.committedOffset(groupId, at);
        return committed.offset === null ? committed : { ...committed, metadata: 'ring=1' };
      };
      return withAdmin(port, { committedOffset });
    }
    case 'skips-a-partition': {
      if (!onControllers) return port;
      const committedOffsets: KafkaPort['admin']['committedOffsets'] = async (groupId, topic) => {
        const all = await port.admin.committedOffsets(groupId, topic);
        return topic === names.ingest('traces') ? all.slice(1) : all;
      };
      return withAdmin(port, { committedOffsets });
    }
    case 'unfenced-leader': {
      const own = (options: SinkOptions) => ({ ...options, fencingKey: `${options.fencingKey}-${index}` });
      return onControllers ? withSinks(port, (sink) => sink, own) : port;
    }
    case 'trusts-old-tokens':
      return onControllers ? standIn(port, { reader: withoutFences(port, names) }) : port;
    case 'forgets-keys':
      return onControllers ? withoutCopiesOfReleasedKeys(port, names) : port;
    case 'unkept-offsets':
      if (!onControllers) return port;
      return withSinks(port, (sink) =>
        withCommit(sink, (offsets) => sink.commit(offsets.filter(({ topic }) => topic !== names.requests))),
      );
  }
}

/** While this leader's last proposal is one that takes an override away, its copies are left out; how far they have come is noted all the same. */
function withoutCopiesOfReleasedKeys(port: KafkaPort, names: Names): KafkaPort {
  let forgets = false;
  const openSink: KafkaPort['openSink'] = async (options) => {
    const sink = await port.openSink(options);
    const stage: TransactionalSink['stage'] = (topic, partition, value, ...more) => {
      const event = topic === names.control ? decodeEvent(value, topic) : null;
      if (event?.type === 'RingProposed')
        forgets = event.change.traces?.overrides.some(({ shard }) => shard === null) === true;
      if (options.groupId !== names.carryGroup || !forgets) sink.stage(topic, partition, value, ...more);
    };
    return standIn(sink, { stage });
  };
  return standIn(port, { openSink });
}

/** Hands requests over as if they named no token. */
function withoutFences(port: KafkaPort, names: Names): KafkaPort['reader'] {
  const unfenced =
    (poll: Poll): Poll['value'] =>
    (index) => {
      const decoded = decodeRequest(poll.value(index));
      if (decoded.kind === 'unreadable') return poll.value(index);
      return encodeRequest({ ...decoded.request, fence: undefined });
    };
  return (at, options) => {
    const reader = port.reader(at, options);
    if (at.topic !== names.requests) return reader;
    const poll: typeof reader.poll = async (maxWaitMs) => {
      const outcome = await reader.poll(maxWaitMs);
      if (outcome.kind !== 'poll') return outcome;
      return { kind: 'poll', poll: standIn(outcome.poll, { value: unfenced(outcome.poll) }) };
    };
    return standIn(reader, { poll });
  };
}

/** Says for ever what it said first. */
function silent(sink: TransactionalSink): TransactionalSink {
  let said: string | undefined;
  return withCommit(sink, (offsets) => {
    said ??= offsets[0]?.metadata;
    return sink.commit(offsets.map((at) => ({ ...at, metadata: said })));
  });
}

function withCommit(sink: TransactionalSink, commit: TransactionalSink['commit']): TransactionalSink {
  return standIn(sink, { commit });
}

function withAdmin(port: KafkaPort, over: Partial<KafkaPort['admin']>): KafkaPort {
  return standIn(port, { admin: standIn(port.admin, over) });
}

function withSinks(
  port: KafkaPort,
  wrap: (sink: TransactionalSink) => TransactionalSink,
  optionsOf: (options: SinkOptions) => SinkOptions = (options) => options,
): KafkaPort {
  return standIn(port, { openSink: async (options) => wrap(await port.openSink(optionsOf(options))) });
}
