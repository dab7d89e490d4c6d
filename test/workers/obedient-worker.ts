/** A worker that does as its settings say, for the tests of its parent. */
import { once } from 'node:events';
import { aborted } from '../../src/abortable.ts';
import { WeirError } from '../../src/errors.ts';
import { createMetrics } from '../../src/metrics.ts';
import { takeSeat } from '../../src/workers/seat.ts';

export interface Orders {
  readonly ready: boolean;
  /** `hang`: the event loop stands still. */
  readonly does: 'work' | 'crash' | 'fail' | 'lose-place' | 'hang';
  /** Else when it is told to, by SIGUSR2: the test has then seen what it waits for. */
  readonly atOnce?: boolean;
  /** Its exit never ends, as Node's own does not where it hangs. */
  readonly staysOnExit?: boolean;
}

const seat = await takeSeat();
const orders = seat.settings as Orders;
const metrics = createMetrics();
metrics.itemsIn.inc({ signal: 'traces' }, seat.worker);
if (orders.staysOnExit) process.on('exit', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
seat.show({ registry: metrics.registry, waitsFor: () => (orders.ready ? [] : ['its orders']) });
if (!orders.atOnce && orders.does !== 'work') await once(process, 'SIGUSR2');
if (orders.does === 'crash') process.exit(70);
if (orders.does === 'hang') for (;;);
if (orders.does === 'fail') {
  await seat.fail(new WeirError('ROUTING_MISMATCH', 'the routing differs'));
  process.exit(1);
}
if (orders.does === 'lose-place') {
  await seat.fail(new WeirError('INSTANCE_ID_TAKEN', 'another has its place'));
  process.exit(1);
}
await aborted(seat.stop);
process.exit(0);
