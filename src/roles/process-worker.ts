/** The program of one worker of `weir process`, started by `workers-part.ts`. */
import { EXIT, exitAfter, stopSignal } from '../cli/exit.ts';
import type { Config } from '../config.ts';
import { WeirError } from '../errors.ts';
import { createLog } from '../log.ts';
import { takeSeat } from '../workers/seat.ts';
import { keepMemorySmall } from './memory.ts';
import { startProcessPart } from './process-part.ts';
import { runParts } from './run.ts';

await exitAfter(async () => {
  keepMemorySmall();
  const seat = await takeSeat();
  const config = seat.settings as Config;
  const log = createLog({ level: config.log.level }).child({ role: 'process', worker: seat.worker });
  // A Ctrl-C reaches the whole process group, so the worker hears of it twice; a SIGTERM for it alone only makes room.
  const signal = AbortSignal.any([stopSignal(), seat.stop]);
  try {
    await runParts('process', config, { log, stdout: process.stdout, signal, seat }, [startProcessPart]);
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof WeirError)) throw error;
    await seat.fail(error);
    return EXIT.failed;
  } finally {
    seat.leave();
  }
});
