/** Times as the documents show them. */

/** ISO 8601 in UTC. */
export const isoTime = (unixMs: number): string => new Date(unixMs).toISOString();
