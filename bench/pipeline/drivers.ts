/** What Weir can fetch and write with. */

export interface Driver {
  /** As the results name Weir on it. */
  readonly title: string;
  /** What chooses it. */
  readonly environment: Readonly<Record<string, string>>;
}

export const USUAL_DRIVER = 'kafkajs';

export const DRIVERS: Readonly<Record<string, Driver>> = {
  [USUAL_DRIVER]: { title: 'Weir', environment: {} },
};
