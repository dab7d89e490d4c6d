/** The controller: watches the load, joins the election and, while it leads, does a leader's duty (`leader-duty.ts`). */
import { followControlLog } from '../coordination/control-log.ts';
import { electLeader } from '../coordination/leader.ts';
import { requireSameRouting } from '../coordination/same-routing.ts';
import { lastingTrouble } from '../lasting-trouble.ts';
import { LeaderDuty, type LeaderDutyOptions } from './leader-duty.ts';
import { clearDistribution } from './load-metrics.ts';
import { MemberWatch } from './member-watch.ts';
import { type Observer, observe } from './observe.ts';
import { showState } from './state-metrics.ts';

export interface ControllerOptions extends Omit<LeaderDutyOptions, 'now'> {
  /** Its name in LeaderElected; unique among controllers. */
  readonly memberName: string;
  /** Unix ms. Default: the system's clock. */
  readonly now?: () => number;
}

export interface Controller {
  /** Resolves after `close()`; rejects when the controller cannot go on (unreadable control log, other routing, no authorisation). */
  readonly done: Promise<void>;
  close(): Promise<void>;
}

/** Resolves once the control log is read; the election goes on by itself. Throws ROUTING_MISMATCH and CONTROL_LOG_UNREADABLE. */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const { port, names, config, kernels, metrics, log, memberName, now = Date.now } = options;
  const control = await followControlLog(port, names);
  let observer: Observer;
  // The session timeout of the group, but at least the time of a few reports.
  const timeoutMs = Math.max(config.kafka.sessionTimeoutMs, REPORTS_OVERDUE * config.load.reportIntervalMs);
  const members = new MemberWatch(timeoutMs);
  try {
    if (control.state.ring) requireSameRouting(config, control.state.ring, kernels.hash);
    observer = await observe(port, names, config, {
      now,
      onReport: (report) => members.hear(report, now()),
      log: (fields, text) => log.warn(fields, text),
    });
  } catch (error) {
    await control.close();
    throw error;
  }
  showState(metrics, control.state);
  control.onChange((state) => showState(metrics, state));
  metrics.leader.set(0);

  const duty = new LeaderDuty({ ...options, now }, observer, members);
  const election = electLeader({
    port,
    groupId: names.controlGroup,
    topic: names.control,
    fencingKey: names.leaderKey('control'),
    name: 'control',
    memberName,
    log: control,
    sessionTimeoutMs: config.kafka.sessionTimeoutMs,
    transactionTimeoutMs: config.kafka.transactionTimeoutMs,
    now,
    async onElected(lead) {
      metrics.leader.set(1);
      log.info({ leaderEpoch: lead.leaderEpoch }, 'elected: this controller leads');
      try {
        await duty.run(lead);
      } finally {
        metrics.leader.set(0);
        // Only the leader shows these: from now on the next one does.
        metrics.ringWaiting.set(0);
        clearDistribution(metrics);
        log.info({ leaderEpoch: lead.leaderEpoch }, 'no longer the leader');
      }
    },
    onTrouble: lastingTrouble(log, 'the leadership was given up, or Kafka makes trouble: joining again'),
  });

  const end = async () => {
    await election.close();
    await Promise.all([observer.close(), control.close()]);
  };
  const done = Promise.race([election.done, control.done, observer.done]);
  done.catch(() => {});
  let closing: Promise<void> | null = null;
  return {
    done,
    close() {
      closing ??= end();
      return closing;
    },
  };
}

/** A member counts as lost only after this many reports of it are missing. */
const REPORTS_OVERDUE = 3;
