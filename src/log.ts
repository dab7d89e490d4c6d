/**
 * The log, on stderr: JSON lines (pino) where machines read, short lines on a terminal. Synchronous, so that the last lines
 * before an exit are there.
 */
import { type DestinationStream, destination, type Logger, pino, stdSerializers } from 'pino';
import { WeirError } from './errors.ts';

export type Log = Logger;

export interface LogOptions {
  readonly level: string;
  /** Absent: stderr. */
  readonly stream?: DestinationStream & { readonly isTTY?: boolean };
  /** Absent: the stream is a terminal. */
  readonly human?: boolean;
  /** Absent: on a terminal unless NO_COLOR is set. */
  readonly color?: boolean;
}

export function createLog({ level, stream, human, color }: LogOptions): Log {
  const terminal = stream ? stream.isTTY === true : process.stderr.isTTY === true;
  const target = stream ?? standardError();
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    serializers: { err: serializeError, cause: serializeError },
    // Fields go through `withoutSecrets`; this is for the bindings of child loggers, which do not.
    redact: { paths: ['password', 'token', 'clientSecret', 'secret', 'authorization'], censor: '[redacted]' },
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: Record<string, unknown>) => withoutSecrets(fields) as Record<string, unknown>,
    },
  };
  if (!(human ?? terminal)) return pino(options, target);
  const colored = color ?? (terminal && !process.env.NO_COLOR);
  // Wipes what stands on the terminal's last line, which is the live line of `weir up`: it comes back by itself.
  const wipe = terminal ? '\r\x1b[K' : '';
  return pino(options, { write: (line: string) => target.write(`${wipe}${humanLine(line, colored)}\n`) });
}

function standardError() {
  const target = destination({ dest: 2, sync: true });
  // A terminal that was closed: the SIGHUP that came with it is what ends us, after the drain.
  target.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EIO') throw error;
  });
  return target;
}

const SECRET = /^(password|passphrase|.*secret|token|access_?token|authorization|sasl\.jaas\.config)$/i;

/** A copy in which the values of keys that name a secret are `[redacted]`. Errors and class instances stay as they are. */
export function withoutSecrets(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > 8) return value;
  if (Array.isArray(value)) return value.map((element) => withoutSecrets(element, depth + 1));
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [
      key,
      SECRET.test(key) && field !== undefined && field !== null ? '[redacted]' : withoutSecrets(field, depth + 1),
    ]),
  );
}

/** A foreseen error needs no stack trace, a bug does. */
function serializeError(error: unknown): unknown {
  if (error instanceof WeirError) {
    const { cause } = error;
    return { code: error.code, message: error.message, ...(cause instanceof Error && { cause: cause.message }) };
  }
  return error instanceof Error ? stdSerializers.err(error) : error;
}

const COLORS: Readonly<Record<string, string>> = {
  warn: '\x1b[33m',
  error: '\x1b[31m',
  fatal: '\x1b[31m',
  debug: '\x1b[2m',
  trace: '\x1b[2m',
};

/** `12:30:05 warn  bridge: the queue is full  bytes=134217728`, from a JSON line. */
export function humanLine(line: string, colored: boolean): string {
  const { level, time, msg, role, err, ...fields } = JSON.parse(line) as Record<string, unknown> & { level: string };
  const rest = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const error = err as { message?: string; stack?: string } | string | undefined;
  const reason = typeof error === 'object' ? error.message : error;
  const text = [
    `${role ? `${role}: ` : ''}${msg ?? ''}${reason && reason !== msg ? `${msg ? ': ' : ''}${reason}` : ''}`,
    ...rest,
  ].join('  ');
  const stack = typeof error === 'object' && error.stack ? `\n${error.stack}` : '';
  const head = `${new Date(String(time)).toTimeString().slice(0, 8)} ${level.padEnd(5)}`;
  const color = colored ? COLORS[level] : undefined;
  return color ? `${color}${head}\x1b[0m ${text}${stack}` : `${head} ${text}${stack}`;
}
