/** Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) to any number of slow readers. */
import type { ServerResponse } from 'node:http';
import type { Log } from '../log.ts';
import type { ApiEvent, ApiView } from './api-view.ts';

const MAX_STREAMS = 100;
/** A reader that is this far behind is cut off: it connects again by itself and reads the documents anew. */
const MAX_UNSENT_BYTES = 256 * 1024;
/** Keeps proxies from taking a quiet stream for a dead one. */
const HEARTBEAT_MS = 15_000;

export class EventStreams {
  readonly #streams = new Set<ServerResponse>();
  readonly #log: Log;
  #source: { readonly view: ApiView; readonly end: () => void } | undefined;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  get full(): boolean {
    return this.#streams.size >= MAX_STREAMS;
  }

  add(stream: ServerResponse, view: ApiView): void {
    this.#listenTo(view);
    this.#streams.add(stream);
    stream.on('close', () => this.#streams.delete(stream));
    stream.on('error', () => this.#streams.delete(stream));
    stream.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // nginx would gather events otherwise.
      'x-accel-buffering': 'no',
    });
    stream.write(': weir\nretry: 2000\n\n');
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.#source?.end();
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
  }

  #listenTo(view: ApiView): void {
    if (this.#source?.view === view) return;
    this.#source?.end();
    this.#source = { view, end: view.subscribe((event) => this.#send(encodeEvent(event))) };
    this.#heartbeat ??= setInterval(() => this.#send(': still here\n\n'), HEARTBEAT_MS).unref();
  }

  #send(text: string): void {
    for (const stream of this.#streams) {
      if (stream.writableLength + text.length > MAX_UNSENT_BYTES) {
        this.#log.warn({ unsentBytes: stream.writableLength }, 'an event stream is not read: cut off');
        this.#streams.delete(stream);
        stream.destroy();
      } else stream.write(text);
    }
  }
}

/** JSON holds no line break, so one data line is enough. */
export const encodeEvent = ({ event, data }: ApiEvent): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
