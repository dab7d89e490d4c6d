import { expect, it } from 'vitest';
import { waitingText } from '../../src/runtime/ring-waiting.ts';

const waiting = (topic: string, count: number, from = 0) =>
  Array.from({ length: count }, (_, n) => ({ topic, partition: from + n, ringEpoch: n === 0 ? null : 2 }));
const owned = (member: string, of: readonly { topic: string; partition: number }[]) =>
  of.map(({ topic, partition }) => [`${topic}/${partition}`, member] as const);

it('names everybody whose partitions hold a change up, however many each of them has', () => {
  const [first, second, nobodys] = [waiting('spans', 12), waiting('logs', 1), waiting('metrics', 2)];
  const owners = new Map([...owned('p-1', first), ...owned('p-2', second)]);
  expect(waitingText([...first, ...second, ...nobodys], owners)).toBe(
    'it waits for spans/0 (no offset yet), spans/1 (at 2), spans/2 (at 2) and 9 more, which p-1 works on; ' +
      'for logs/0 (no offset yet), which p-2 works on; for metrics/0 (no offset yet), metrics/1 (at 2), which no processor reports to work on',
  );
});

it('names some of very many, and says how many more there are', () => {
  const all = Array.from({ length: 7 }, (_, n) => waiting('spans', 1, n)[0]!);
  const owners = new Map(all.flatMap((of, n) => owned(`p-${n}`, [of])));
  expect(waitingText(all, owners)).toMatch(/p-4 works on; and for partitions of 2 more$/);
});
