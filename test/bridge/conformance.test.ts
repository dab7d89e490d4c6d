import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { conformanceTable, RECORD_BYTES, REQUEST_BYTES, REQUIREMENTS, TRANSPORTS } from './conformance.ts';
import { HeldProducer, type Rig, startRig } from './rig.ts';

describe.each(TRANSPORTS)('OTLP by %s: a server', (transport) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({
      config: { topics: { maxMessageBytes: RECORD_BYTES }, bridge: { maxRequestBytes: REQUEST_BYTES } },
    });
  });
  afterAll(() => rig.close());
  const own: Rig[] = [];
  afterEach(async () => {
    for (const rig of own.splice(0)) await rig.close();
  });

  const requirements = REQUIREMENTS.filter(({ on }) => on.includes(transport));
  it.each(requirements.map((row) => [row.level, row.says, row] as const))('%s: %s', async (_level, _says, { show }) => {
    await show({
      transport,
      rig,
      async held() {
        const producer = new HeldProducer();
        const rig = await startRig({ wrap: () => producer, config: { bridge: { queueBytes: 10_000 } } });
        own.push(rig);
        return { rig, producer };
      },
    });
  });
});

it('docs/bridge.md has the table of conformance as it is tested', () => {
  const docs = readFileSync(new URL('../../docs/bridge.md', import.meta.url), 'utf8');
  expect(docs).toContain(conformanceTable());
});
