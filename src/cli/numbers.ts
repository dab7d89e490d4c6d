/** Numbers on the command line. */
import { InvalidArgumentError } from 'commander';

export function wholeNumber(text: string): number {
  if (!/^\d{1,12}$/.test(text)) throw new InvalidArgumentError('Allowed: an integer from 0.');
  return Number(text);
}

/** For commander: reads an integer from 1 to `most`. */
export function countTo(most: number): (text: string) => number {
  return (text) => {
    const value = wholeNumber(text);
    if (value < 1 || value > most) throw new InvalidArgumentError(`Allowed: an integer from 1 to ${most}.`);
    return value;
  };
}

export function positiveNumber(text: string): number {
  if (wholeNumber(text) === 0) throw new InvalidArgumentError('Allowed: an integer from 1.');
  return Number(text);
}
