/**
 * Who works here, by the load reports, which come once a second from every member: what the leader writes to the control log when somebody
 * comes, leaves or is not heard any more. Pure but for its own memory: time is passed in.
 */
import type { LedEvent } from '../coordination/events.ts';
import type { ControlState } from '../coordination/state.ts';
import type { LoadReport, Reporter } from '../load/load-report.ts';

export type MemberNews = Extract<LedEvent, { type: 'MemberJoined' | 'MemberGone' }>;

/** Heard at one time; more are not followed. */
const MAX_MEMBERS = 20_000;

interface Heard {
  /** null: known by the log only. */
  readonly reporter: Reporter | null;
  /** Unix ms, by its own clock; 0 before its first report. */
  readonly reportedAt: number;
  /** Unix ms, by ours: members' clocks need not agree for this. */
  readonly heardAt: number;
  readonly leaving: boolean;
}

export class MemberWatch {
  readonly #timeoutMs: number;
  readonly #heard = new Map<string, Heard>();
  /** Unix ms: when any report came. */
  #newestAt = 0;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Also while another one leads: a new leader knows who is there. */
  hear({ reporter, toUnixMs, leaving }: LoadReport, nowUnixMs: number): void {
    this.#newestAt = nowUnixMs;
    if (!this.#heard.has(reporter.id) && this.#heard.size >= MAX_MEMBERS) this.#forgetSilent();
    if (!this.#heard.has(reporter.id) && this.#heard.size >= MAX_MEMBERS) return;
    this.#heard.set(reporter.id, { reporter, reportedAt: toUnixMs, heardAt: nowUnixMs, leaving });
  }

  /** A leadership begins: everybody's timeout does, too. What this controller missed while it was paused is nobody else's fault. */
  begin({ members }: Pick<ControlState, 'members'>, nowUnixMs: number): void {
    for (const id of members.keys()) {
      const before = this.#heard.get(id) ?? { reporter: null, reportedAt: 0, leaving: false };
      this.#heard.set(id, { ...before, heardAt: nowUnixMs });
    }
  }

  /** What the log does not say yet. */
  news({ members, departed }: Pick<ControlState, 'members' | 'departed'>, nowUnixMs: number): MemberNews[] {
    const news: MemberNews[] = [];
    const at = nowUnixMs;
    for (const [id, { reporter, reportedAt, heardAt, leaving }] of this.#heard) {
      const how = leaving ? 'left' : this.#isSilent(heardAt) ? 'lost' : null;
      if (how && members.has(id)) news.push({ type: 'MemberGone', version: 1, at, id, how, reportedAt });
      else if (how) this.#heard.delete(id);
      // A new leader may read a report from before the member was lost: that does not bring it back.
      else if (reporter && !members.has(id) && reportedAt > (departed.get(id)?.reportedAt ?? -1)) {
        const { role, version: release } = reporter;
        news.push({ type: 'MemberJoined', version: 1, at, id, role, release });
      }
    }
    return news;
  }

  /**
   * By the last report that came from anybody, and not by the clock: while nothing can be read, nobody can be told to be lost. The
   * leader's own reports are among them, so as a rule that is at most a second ago.
   */
  #isSilent(heardAt: number): boolean {
    return this.#newestAt - heardAt > this.#timeoutMs;
  }

  #forgetSilent(): void {
    for (const [id, { heardAt }] of this.#heard) if (this.#isSilent(heardAt)) this.#heard.delete(id);
  }
}
