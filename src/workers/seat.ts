/** A worker's end of the channel to its parent. */
import type { Registry } from 'prom-client';
import type { WeirError } from '../errors.ts';
import { BEAT_MS, type FromWorker, type MetricsSnapshot, type ToWorker } from './messages.ts';

export interface WorkerSeat {
  /** From 1; a worker that is started again has the number of the one before. */
  readonly worker: number;
  readonly settings: unknown;
  /** Aborted when the parent says so, or is gone. */
  readonly stop: AbortSignal;
  /** What the parent shows of this worker from now on. */
  show(shown: { registry: Registry; waitsFor(): readonly string[] }): void;
  /** Before the exit: the parent tells the user. */
  fail(error: WeirError): Promise<void>;
  /** The channel no longer keeps this process running. */
  leave(): void;
}

/** In a process that `startWorkers` has started. Resolves with the first message. */
export function takeSeat(): Promise<WorkerSeat> {
  const stop = new AbortController();
  const seated = Promise.withResolvers<WorkerSeat>();
  let registry: Registry | undefined;
  let waitsFor: () => readonly string[] = () => ['starting'];

  process.on('disconnect', () => stop.abort());
  // However it ends. What is sent here still goes out, as Node writes to a pipe at once where there is room in it.
  process.on('exit', (exitCode) => void send({ kind: 'ended', exitCode }));
  process.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'begin': {
        const { worker, settings } = message;
        seated.resolve({
          worker,
          settings,
          stop: stop.signal,
          show(shown) {
            registry = shown.registry;
            waitsFor = shown.waitsFor;
          },
          fail: ({ code, message }) => send({ kind: 'failed', code, message }),
          leave: () => process.channel?.unref(),
        });
        break;
      }
      case 'tell-metrics':
        void tellMetrics(message.id);
        break;
      case 'stop':
        stop.abort();
    }
  });
  setInterval(() => void send({ kind: 'beat', waitsFor: waitsFor() }), BEAT_MS).unref();

  async function tellMetrics(id: number): Promise<void> {
    const metrics = ((await registry?.getMetricsAsJSON()) ?? []) as MetricsSnapshot;
    await send({ kind: 'metrics', id, metrics });
  }

  return seated.promise;
}

/** Resolves once the message is on its way. To a parent that is gone nothing needs to be said. */
function send(message: FromWorker): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected) resolve();
    else process.send?.(message, undefined, undefined, () => resolve());
  });
}
