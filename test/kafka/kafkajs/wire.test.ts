import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Incoming, Wire } from '../../../src/kafka/kafkajs/wire.ts';

const REQUEST = { apiKey: 3, apiVersion: 6 };
const CLIENT_ID = 'weir';

let broker: Socket;
const server = createServer((socket) => {
  broker = socket;
});
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.close();
});

async function scene() {
  const incoming = new Incoming();
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'connection');
  const socket = connect({ host: '127.0.0.1', port, onread: incoming.onread });
  incoming.from(socket);
  await Promise.all([once(socket, 'connect'), accepted]);
  const faults: Error[] = [];
  const wire = new Wire(socket, CLIENT_ID, (error) => {
    faults.push(error);
    wire.close(error);
  });
  incoming.attach(wire);
  return { wire, faults };
}

function answer(correlationId: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(4 + body.length);
  head.writeInt32BE(correlationId, 4);
  return Buffer.concat([head, body]);
}

/** One after the other, each as a packet of its own as far as the network lets it. */
async function writeAll(pieces: readonly Uint8Array[]) {
  for (const piece of pieces) await new Promise((resolve) => broker.write(piece, resolve));
}

describe('a wire', () => {
  it('frames a request around its pieces', async () => {
    const { wire } = await scene();
    const request = once(broker, 'data');
    wire.send(REQUEST, [Buffer.from('one '), Buffer.from('two')]).catch(() => 'closed below');
    const [bytes] = (await request) as [Buffer];
    expect(bytes.readInt32BE(0)).toBe(bytes.length - 4);
    expect([bytes.readInt16BE(4), bytes.readInt16BE(6), bytes.readInt32BE(8)]).toEqual([3, 6, 0]);
    expect(bytes.toString('utf8', 12)).toBe('\0\x04weirone two');
    wire.close(new Error('over'));
  });

  it('gives each request its answer, wherever the stream of them is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 200_000 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat({ max: 1_000_000 }), { maxLength: 8 }),
        async (sizes, cuts) => {
          const { wire, faults } = await scene();
          const bodies = sizes.map((size, index) => Buffer.alloc(size, index + 1));
          const answers = Promise.all(bodies.map(() => wire.send(REQUEST, [])));
          const stream = Buffer.concat(bodies.map((body, index) => answer(index, body)));
          const at = [0, ...cuts.map((cut) => cut % stream.length).sort((a, b) => a - b), stream.length];
          await writeAll(at.slice(1).map((end, index) => stream.subarray(at[index], end)));
          for (const [index, body] of (await answers).entries()) expect(body.equals(bodies[index]!)).toBe(true);
          expect(faults).toEqual([]);
          wire.close(new Error('over'));
        },
      ),
      { numRuns: 40 },
    );
  });

  it('puts an answer where it is told to', async () => {
    const { wire } = await scene();
    const place = Buffer.alloc(300_000);
    const body = Buffer.alloc(250_000, 7);
    const answered = wire.send(REQUEST, [], (bytes) => place.subarray(0, bytes));
    await writeAll([answer(0, body)]);
    expect((await answered).buffer).toBe(place.buffer);
    expect(place.subarray(4, 4 + body.length).equals(body)).toBe(true);
    wire.close(new Error('over'));
  });

  it.each([
    ['an answer to another request', () => answer(5, Buffer.alloc(3)), 'answer to request 5 where 0 is next'],
    ['a length that no answer has', () => Buffer.from([0, 0, 0, 2, 1, 1]), 'answer of 2 bytes'],
  ])('takes %s for a fault, and fails what is pending', async (_, bytes, message) => {
    const { wire, faults } = await scene();
    const failed = expect(wire.send(REQUEST, [])).rejects.toThrow(message);
    await writeAll([bytes()]);
    await failed;
    expect(faults.length).toBe(1);
  });
});
