/** `/`: what this port serves. The dashboard takes its place later. */
const OF_EVERY_ROLE = [
  ['/healthz', 'this process runs'],
  ['/readyz', 'this process takes work; 503 with reasons until then'],
  ['/metrics', 'Prometheus metrics'],
] as const;

const OF_A_CONTROLLER = [
  ['/api/v1/topology', 'ring epoch, routing keys, leader, the ring change in flight'],
  ['/api/v1/shards', 'shards with their ranges, load and health'],
  ['/api/v1/locks', 'who holds which lock, and what became of operations'],
  ['/api/v1/members', 'who works here under which load, and who has left or is lost'],
  ['/api/v1/services', 'services and their instances, as the traffic shows them'],
  ['/api/v1/decisions', 'the last decisions (?last=N)'],
  ['/api/v1/route', 'the shard that a key goes to, now and after the change in flight (?key=KEY&amp;signal=SIGNAL)'],
  ['/api/v1/lag', 'records not yet processed, by partition'],
  ['/api/v1/events', 'decisions and changes of ring and leader, as server-sent events'],
] as const;

export function indexPage(hasView: boolean): string {
  const rows = [...OF_EVERY_ROLE, ...(hasView ? OF_A_CONTROLLER : [])].map(
    ([path, meaning]) => `<tr><td><a href="${path}">${path}</a></td><td>${meaning}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Weir</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 44rem; padding: 0 1rem; color-scheme: light dark; }
  td { padding: 0.15rem 1.5rem 0.15rem 0; vertical-align: top; }
</style>
<h1>Weir</h1>
<table>
${rows.join('\n')}
</table>
</html>
`;
}
