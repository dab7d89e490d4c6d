/**
 * Gives users of a broker their SCRAM passwords: AlterUserScramCredentials v0 on a connection of its own, as no client
 * library here speaks it. (https://kafka.apache.org/protocol; KIP-554)
 *
 * Request:  length i32 | api_key i16 | version i16 | correlation_id i32 | client_id string | tags
 *           | deletions [] | upsertions [name, mechanism i8, iterations i32, salt bytes, salted_password bytes, tags] | tags
 * Response: length i32 | correlation_id i32 | tags | throttle_ms i32 | results [user, error_code i16, error_message, tags] | tags
 * Arrays, strings and bytes here are compact: an unsigned varint of length + 1 in front. `tags` is a 0 where there are none.
 */
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';

const ALTER_USER_SCRAM_CREDENTIALS = 51;
const MECHANISMS = [
  { id: 1, digest: 'sha256', bytes: 32 },
  { id: 2, digest: 'sha512', bytes: 64 },
] as const;
/** The least that RFC 5802 and Kafka allow. */
const ITERATIONS = 4_096;
const NO_TAGS = Buffer.from([0]);

/** The user can log in with SCRAM-SHA-256 and SCRAM-SHA-512. The listener at `port` must be plain, for a super user. */
export async function setScramPassword(port: number, user: string, password: string): Promise<void> {
  // One by one: a request may name a user only once.
  for (const mechanism of MECHANISMS) {
    const salt = randomBytes(16);
    const salted = pbkdf2Sync(password, salt, ITERATIONS, mechanism.bytes, mechanism.digest);
    const numbers = Buffer.alloc(5);
    numbers.writeInt8(mechanism.id, 0);
    numbers.writeInt32BE(ITERATIONS, 1);
    const upsertion = [compact(Buffer.from(user)), numbers, compact(salt), compact(salted), NO_TAGS];
    const answer = await ask(port, [varint(1), varint(2), ...upsertion, NO_TAGS]);
    // The one result lies behind length, correlation id, tags, throttle and the count of results.
    const code = answer.readInt16BE(14 + 1 + Buffer.byteLength(user));
    if (code !== 0) throw new Error(`AlterUserScramCredentials for ${user}, ${mechanism.digest}: error ${code}`);
  }
}

async function ask(port: number, body: readonly Buffer[]): Promise<Buffer> {
  const header = Buffer.alloc(10);
  header.writeInt16BE(ALTER_USER_SCRAM_CREDENTIALS, 0);
  header.writeInt32BE(1, 4);
  const request = Buffer.concat([header, NO_TAGS, ...body]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(request.length);
  const socket = connect({ host: '127.0.0.1', port });
  try {
    socket.write(Buffer.concat([length, request]));
    let answer = Buffer.alloc(0);
    while (answer.length < 4 || answer.length < 4 + answer.readInt32BE(0)) {
      const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })) as [Buffer];
      answer = Buffer.concat([answer, chunk]);
    }
    return answer;
  } finally {
    socket.destroy();
  }
}

const compact = (bytes: Buffer) => Buffer.concat([varint(bytes.length + 1), bytes]);

function varint(value: number): Buffer {
  const bytes = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}
