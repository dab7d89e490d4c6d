/** What a browser asks before it lets a page's script send, and what it wants to see on the answers. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/config.ts';
import { request } from './requests.ts';
import { type Rig, startRig } from './rig.ts';

const rigs: Rig[] = [];
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});
async function start(cors: NonNullable<NonNullable<ConfigInput['bridge']>['cors']>): Promise<Rig> {
  const rig = await startRig({ config: { bridge: { cors } } });
  rigs.push(rig);
  return rig;
}

const preflight = (rig: Rig, origin: string) =>
  fetch(`http://${rig.bridge.httpAddress}/v1/traces`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
  });
const send = (rig: Rig, origin: string, body = request('x')) =>
  rig.post('/v1/traces', body, { 'content-type': 'application/x-protobuf', origin });

describe('CORS', () => {
  it('is off unless configured', async () => {
    const rig = await start({});
    const asked = await preflight(rig, 'https://shop.example.com');
    expect(asked.status).toBe(405);
    for (const { headers } of [asked, await send(rig, 'https://shop.example.com')]) {
      expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
  });

  it('lets pages of the listed origins send, and shows them refusals too', async () => {
    const rig = await start({
      allowedOrigins: ['https://*.example.com', 'http://localhost:3000'],
      allowedHeaders: ['content-type', 'x-page'],
      maxAgeSeconds: 60,
    });
    for (const origin of ['https://shop.example.com', 'http://localhost:3000']) {
      const asked = await preflight(rig, origin);
      expect(asked.status).toBe(204);
      expect(Object.fromEntries(asked.headers)).toMatchObject({
        'access-control-allow-origin': origin,
        'access-control-allow-methods': 'POST',
        'access-control-allow-headers': 'content-type, x-page',
        'access-control-max-age': '60',
        vary: 'origin',
      });
      for (const answer of [await send(rig, origin), await send(rig, origin, Buffer.from('hello'))]) {
        expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
        expect(answer.headers.get('access-control-expose-headers')).toBe('retry-after');
      }
    }
    expect(await rig.counted()).toEqual({ 'traces http/protobuf ok': 2, 'traces http/protobuf malformed': 2 });
  });

  it.each([
    'https://example.com',
    'https://shop.example.com.evil.org',
    'http://shop.example.com',
    'https://shopXexample.com',
    'null',
  ])('does not know %s', async (origin) => {
    const rig = await start({ allowedOrigins: ['https://*.example.com'] });
    const asked = await preflight(rig, origin);
    expect(asked.status).toBe(405);
    expect(asked.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('for every origin says so, without credentials', async () => {
    const rig = await start({ allowedOrigins: ['*'] });
    const { headers } = await preflight(rig, 'https://anywhere.org');
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(headers.get('access-control-allow-credentials')).toBeNull();
  });
});
