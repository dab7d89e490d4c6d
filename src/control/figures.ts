/** How the texts of decisions show figures. */

/** A share of 0..1, such as `80%` or `28.7%`. */
export const percent = (share: number): string => `${tenths(share * 100)}%`;

export const rate = (bytesPerSecond: number): string => `${Math.round(bytesPerSecond)} B/s`;

/** Rounded to one decimal place. */
export const tenths = (value: number): number => Math.round(value * 10) / 10;
