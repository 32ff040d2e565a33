// The judge of ../judge.ts as a query of Prometheus, for the analyses of Argo Rollouts.
import { DURATION_BUCKETS } from "../../../services/runtime/metrics.ts";
import { fewestBad, type Rule, zOf } from "../core/judge.ts";
import type { RatioCheck } from "../definition/definition.ts";
import { DefinitionError } from "../definition/read-definition.ts";

/** The label that Argo Rollouts gives pods, as Prometheus writes it. */
export const HASH = "rollouts_pod_template_hash";

/** Queries for the requests of each version in a window, with the label HASH. */
export interface CountQueries {
  readonly total: string;
  readonly bad: string;
}

const metric = "http_request_duration_seconds";

/** Probes are not judged, nor are routes that need a sidecar: they respond 503 without one. */
const route = `route!~"/healthz|/readyz|/api/groups|/api/state/.*"`;

/**
 * @param window in seconds
 * @throws {DefinitionError} when no bucket of the histogram ends at `over`
 */
export function countRequests({ name, over }: RatioCheck, window: number): CountQueries {
  const total = increase(`${metric}_count{${route}}`, window);
  if (over === undefined) return { total, bad: increase(`${metric}_count{${route}, status=~"5.."}`, window) };
  if (!DURATION_BUCKETS.includes(over)) {
    const buckets = DURATION_BUCKETS.map((seconds) => (seconds < 1 ? `${seconds * 1000}ms` : `${seconds}s`)).join(", ");
    throw new DefinitionError(
      `checks.${name}.over: Prometheus counts requests only up to ${buckets}. Set over to one of them.`,
    );
  }
  // Prometheus writes 1 as 1.0.
  const le = Number.isInteger(over) ? `le=~"${over}|${over}.0"` : `le="${over}"`;
  return { total, bad: `${total} - ${increase(`${metric}_bucket{${route}, ${le}}`, window)}` };
}

/**
 * Counts exactly, also for pods that ended in the window. increase() would miss the first error of a pod, because the
 * series of a status starts with its first response.
 */
function increase(series: string, seconds: number): string {
  const last = `last_over_time(${series}[${seconds}s])`;
  return `sum by (${HASH}) (clamp_min(${last} - (${series} offset ${seconds}s or 0 * ${last}), 0))`;
}

/**
 * A query whose value is 1 for `pass`, -1 for `fail` and 0 for all else, also without data.
 *
 * @param candidate hash of the new version
 * @param stable hash of the live version
 */
export function judgeQuery({ total, bad }: CountQueries, candidate: string, stable: string, rule: Rule): string {
  const of = (hash: string, value: number) => `label_replace(vector(${value}), "${HASH}", "${hash}", "", "")`;
  const side = `(${of(candidate, 1)} or ${of(stable, -1)})`;
  const n = `((${total}) or 0 * ${side})`;
  const b = `((${bad}) or 0 * ${side})`;
  const share = `(${b} / ${n})`;
  const difference = `sum(${side} * ${share})`;
  /** Distance from the difference to a limit of its interval. */
  const distance = (toLimit: 1 | -1, z: number) => {
    return `sqrt(sum((
      (
        ${toLimit * z ** 2} * ${side} * (0.5 - ${share})
        + ${z} * sqrt(${b} * (1 - ${share}) + ${z ** 2 / 4})
      )
      / (${n} + ${z ** 2})
    ) ^ 2))`;
  };
  return `# 1: the new version is not worse than the live one by more than ${rule.margin}. -1: it is. 0: too few requests.
# Newcombe's interval of the difference of two shares. A side is 1 for the new version, and -1 for the live one.
(
  # The upper limit is not above the margin, and not both shares are above max.
  (
    ${difference}
    + ${distance(1, zOf(1))}
    <= bool ${rule.margin}
  )
  * (min(abs(${side}) * ${share}) <= bool ${rule.max})
)
- (
  # The lower limit is above the margin, with the z of ${rule.looks} looks, and ${fewestBad} requests or more are bad.
  (
    ${difference}
    - ${distance(-1, zOf(rule.looks))}
    > bool ${rule.margin}
  )
  * (sum((${side} > bool 0) * ${b}) >= bool ${fewestBad})
)
`;
}
