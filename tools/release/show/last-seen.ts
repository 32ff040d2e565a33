// Remembers the new revision and the checks of a release for its end, because the last look no longer has them.
import type { Report } from "./report.ts";

export interface LastSeen {
  add(report: Report): void;
  /** The last report, with the new revision and the checks of the reports before. */
  last(): Report | undefined;
  /** The last report before the release ended or went back. */
  reached(): Report | undefined;
}

export function createLastSeen(): LastSeen {
  let last: Report | undefined;
  let reached: Report | undefined;
  let judged: Report | undefined;
  return {
    add(report) {
      last = report;
      if (report.next !== undefined && report.phase !== "back") reached = report;
      if (report.checks.length + report.probes.length > 0) judged = report;
    },
    last() {
      if (last === undefined || last.next !== undefined || reached?.next === undefined) return withChecks(last);
      const { revision } = reached.next;
      if (revision === last.live.revision) return withChecks(last); // it is promoted
      return withChecks({ ...last, image: reached.image, next: { revision, weight: 0 } });
    },
    reached: () => reached,
  };

  function withChecks(report: Report | undefined): Report | undefined {
    if (report === undefined || report.checks.length + report.probes.length > 0) return report;
    return { ...report, checks: judged?.checks ?? [], probes: judged?.probes ?? [] };
  }
}
