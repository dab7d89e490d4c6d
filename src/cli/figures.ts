/** Figures as people read them. */

export const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;
export const rate = (perSecond: number): string => (perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toFixed(1));

/** Also of rates: the unit of time is for the head of the column to say. */
export function bytes(perSecond: number): string {
  if (perSecond >= 1e6) return `${(perSecond / 1e6).toFixed(1)} MB`;
  return perSecond >= 1e3 ? `${(perSecond / 1e3).toFixed(1)} kB` : `${perSecond.toFixed(0)} B`;
}
