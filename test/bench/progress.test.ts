import { expect, it } from 'vitest';
import { createProgress } from '../../bench/progress.ts';

it('progress says what is left, as if each step took the same', () => {
  const said: string[] = [];
  let nowMs = 0;
  const step = createProgress(
    4,
    (text) => said.push(text),
    () => nowMs,
  );
  step('first');
  nowMs = 90_000;
  step('second');
  nowMs = 100_000;
  step('third');
  expect(said).toEqual(['[1 of 4] first', '[2 of 4, about 5 min left] second', '[3 of 4, about 2 min left] third']);
});
