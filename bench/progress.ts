/** How far a run of many steps is: `[12 of 96, about 6 min left] …`. */

/** To be called at the beginning of each step. The rest is reckoned as if every step took the same. */
export function createProgress(steps: number, say: (text: string) => void, now = () => performance.now()) {
  const startedAtMs = now();
  let begun = 0;
  return (text: string): void => {
    const leftMs = ((now() - startedAtMs) / begun) * (steps - begun);
    begun++;
    const left = Number.isFinite(leftMs) ? `, about ${Math.ceil(leftMs / 60e3)} min left` : '';
    say(`[${begun} of ${steps}${left}] ${text}`);
  };
}
