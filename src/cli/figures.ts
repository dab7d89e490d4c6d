/** Figures as people read them. */

export const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;
export const rate = (perSecond: number): string => (perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toFixed(1));

/** Also of rates: the unit of time is for the head of the column to say. */
export function bytes(perSecond: number): string {
  if (perSecond >= 1e6) return `${(perSecond / 1e6).toFixed(1)} MB`;
  return perSecond >= 1e3 ? `${(perSecond / 1e3).toFixed(1)} kB` : `${perSecond.toFixed(0)} B`;
}

/** Of an ISO time. Clocks differ: what seems to be to come is now. */
export function ago(time: string, nowUnixMs: number): string {
  const seconds = Math.max(0, (nowUnixMs - Date.parse(time)) / 1_000);
  return seconds < 100 ? `${seconds.toFixed(1)} s ago` : `${Math.round(seconds / 60)} min ago`;
}
