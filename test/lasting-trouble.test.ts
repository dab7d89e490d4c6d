import { expect, it } from 'vitest';
import { lastingTrouble } from '../src/lasting-trouble.ts';
import { createLog } from '../src/log.ts';

it('warns of trouble that comes again, and of none that is over after once', () => {
  const lines: string[] = [];
  const log = createLog({ level: 'debug', human: false, stream: { write: (line) => void lines.push(line) } });
  let nowMs = 0;
  const trouble = lastingTrouble(log, 'trying on', () => nowMs);
  for (nowMs of [0, 60_000, 65_000, 94_000, 200_000]) trouble(new Error(`at ${nowMs}`));
  expect(lines.map((line) => JSON.parse(line)).map(({ level, cause, msg }) => [level, cause, msg])).toEqual([
    ['debug', 'at 0', 'trying on'],
    ['debug', 'at 60000', 'trying on'],
    ['warn', 'at 65000', 'trying on'],
    ['warn', 'at 94000', 'trying on'],
    ['debug', 'at 200000', 'trying on'],
  ]);
});
