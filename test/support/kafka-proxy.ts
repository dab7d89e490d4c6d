/**
 * A TCP proxy that understands Kafka's framing (length int32, then in a request: api_key int16, api_version int16,
 * correlation_id int32; in an answer: correlation_id int32) and can lose the answer of a request that the broker has carried out.
 */
import { createServer, type Server, type Socket, connect as tcpConnect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface KafkaProxy {
  readonly port: number;
  /** The answer of the next Produce that the broker has carried out is kept back, both sides of the connection are cut. */
  loseNextProduceReply(options?: { /** From that moment on as after `refuse(true)`. */ thenRefuse?: boolean }): void;
  /** As if the last call had asked for it; for who knows only later. */
  refuseOnceLost(): void;
  /**
   * The request of this kind that follows `after` others never reaches the broker. Resolves when it has come; what then
   * becomes of its sender is up to the test.
   */
  swallow(apiKey: number, after: number): Promise<void>;
  /**
   * The broker gets the next Produce request for the topic under another name, and refuses what it does not know (yet). Resolves
   * when it has come.
   */
  refuseNextProduceTo(topic: string): Promise<void>;
  /** Flips a bit of the next answer that holds these bytes, where they stand. */
  damageNextAnswer(bytes: Buffer): void;
  /** Connections that come in from now on are cut, as are those that are open, until it is called with false. */
  refuse(refusing: boolean): void;
  /** Requests seen so far, by API key. */
  requests(apiKey: number): number;
  close(): Promise<void>;
}

const PORT_FREE_WITHIN_MS = 150_000;
const PRODUCE = 0;
export const FETCH = 1;
export const METADATA = 3;
export const HEARTBEAT = 12;
export const END_TXN = 26;

export async function startKafkaProxy(options: { listenPort: number; brokerPort: number }): Promise<KafkaProxy> {
  const open = new Set<Socket>();
  const counts = new Map<number, number>();
  let losing = 0;
  let thenRefuse = false;
  const swallowing = new Map<number, { left: number; resolve(): void }>();
  let refusing = false;
  let damaging: Buffer | undefined;
  let renaming: { topic: string; resolve(): void } | undefined;

  const refuse = (now: boolean) => {
    refusing = now;
    if (now) for (const socket of open) socket.destroy();
  };

  const serve = (client: Socket) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const broker = tcpConnect({ host: '127.0.0.1', port: options.brokerPort });
    /** Correlation ids whose answers are to be lost, with the version they are in. */
    const marked = new Map<number, number>();
    const cut = () => {
      client.destroy();
      broker.destroy();
    };
    for (const socket of [client, broker]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('close', () => {
        open.delete(socket);
        cut();
      });
      // A cut connection is what this proxy is for; the other side hears of it by 'close'.
      socket.on('error', cut);
    }
    client.on(
      'data',
      frames((frame) => {
        const apiKey = frame.readInt16BE(4);
        counts.set(apiKey, (counts.get(apiKey) ?? 0) + 1);
        if (apiKey === PRODUCE && losing > 0) {
          losing--;
          marked.set(frame.readInt32BE(8), frame.readInt16BE(6));
        }
        const renamedAt = apiKey === PRODUCE && renaming ? frame.indexOf(renaming.topic) : -1;
        if (renamedAt >= 0) {
          frame[renamedAt]! ^= 1;
          renaming!.resolve();
          renaming = undefined;
        }
        const swallowed = swallowing.get(apiKey);
        if (swallowed && swallowed.left-- === 0) {
          swallowing.delete(apiKey);
          swallowed.resolve();
        } else broker.write(frame);
      }),
    );
    broker.on(
      'data',
      frames((frame) => {
        const damageAt = damaging ? frame.indexOf(damaging) : -1;
        if (damageAt >= 0) {
          damaging = undefined;
          frame[damageAt]! ^= 1;
        }
        const version = marked.get(frame.readInt32BE(4));
        marked.delete(frame.readInt32BE(4));
        if (version === undefined) client.write(frame);
        else if (hasStored(frame, version)) {
          if (thenRefuse) refuse(true);
          cut();
        } else {
          // The broker did not append, which it may say of a first try; the next one is the one to lose.
          losing++;
          client.write(frame);
        }
      }),
    );
  };

  const server: Server = createServer(serve);
  await listen(server, options.listenPort);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    port: address.port,
    loseNextProduceReply(options = {}) {
      losing++;
      thenRefuse = options.thenRefuse ?? false;
    },
    refuseOnceLost() {
      thenRefuse = true;
    },
    swallow: (apiKey, after) => new Promise((resolve) => swallowing.set(apiKey, { left: after, resolve })),
    refuseNextProduceTo: (topic) =>
      new Promise((resolve) => {
        renaming = { topic, resolve };
      }),
    damageNextAnswer(bytes) {
      damaging = bytes;
    },
    refuse,
    requests: (apiKey) => counts.get(apiKey) ?? 0,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/**
 * Whether no partition of a Produce answer has an error. v5 to v7: correlation_id int32, [topic string, [partition int32,
 * error_code int16, base_offset int64, log_append_time int64, log_start_offset int64]]. v9 and v10 have compact arrays and
 * strings, and tagged fields behind the header, each topic and each partition, which ends in [record_errors], error_message.
 */
function hasStored(frame: Buffer, version: number): boolean {
  const flexible = version >= 9;
  let at = 8;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = frame[at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const count = () => {
    if (flexible) return varint() - 1;
    at += 4;
    return frame.readInt32BE(at - 4);
  };
  const skip = (bytes: number) => {
    at += Math.max(0, bytes);
  };
  const skipString = () => {
    const length = flexible ? varint() - 1 : frame.readInt16BE(at);
    skip(flexible ? length : 2 + length);
  };
  const skipTags = () => {
    for (let tags = flexible ? varint() : 0; tags > 0; tags--) {
      varint();
      skip(varint());
    }
  };
  skipTags();
  for (let topics = count(); topics > 0; topics--) {
    skipString();
    for (let partitions = count(); partitions > 0; partitions--) {
      if (frame.readInt16BE(at + 4) !== 0) return false;
      at += 30;
      if (!flexible) continue;
      // An answer without an error has no errors of records.
      if (count() > 0) return false;
      skipString();
      skipTags();
    }
    skipTags();
  }
  return true;
}

/** Two test files may want the one port that the broker advertises for a proxy: the second waits for its turn. */
async function listen(server: Server, port: number): Promise<void> {
  for (const until = performance.now() + PORT_FREE_WITHIN_MS; ; await delay(100)) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', () => {
          server.off('error', reject);
          resolve();
        });
      });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || performance.now() > until) throw error;
    }
  }
}

/** Calls `each` for every whole frame, its length field included. */
function frames(each: (frame: Buffer) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let bytes = 0;
  let needed = 4;
  return (chunk) => {
    chunks.push(chunk);
    bytes += chunk.length;
    while (bytes >= needed) {
      const all = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
      const end = 4 + all.readInt32BE(0);
      if (all.length < end) {
        chunks = [all];
        needed = end;
        return;
      }
      each(all.subarray(0, end));
      chunks = [all.subarray(end)];
      bytes = all.length - end;
      needed = 4;
    }
  };
}
