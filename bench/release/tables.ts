// Prints how releases end that are simulated, by their traffic and by how much worse the new version is.
import { type Endings, simulateClumps, simulateRelease, simulateRivals } from "./simulate.ts";

const RELEASES = 2_000;
const bases = [0.001, 0.005, 0.02];
const percent = (share: number) => `${Number((100 * share).toFixed(1))} %`;

export function printReleases(): void {
  console.log(
    `${RELEASES} simulated releases for each row, with steps of 5, 25 and 50 % and the two checks of welcome.`,
  );
  console.table([1, 3, 10].flatMap((perSecond) => bases.map((base) => describeRelease(perSecond, base))));
  console.log(
    "The check of 5xx against fixed thresholds on the same traffic: % wrong, requests that the version served.",
  );
  console.table(
    ([10, 1] as const).flatMap((perSecond) =>
      bases.flatMap((base) => [0, 0.02, 0.2].map((worse) => describeRivals(perSecond, base, worse))),
    ),
  );
  console.log("Errors that come together, at 10 requests a second: new versions without a difference.");
  console.table(bases.flatMap((base) => [1, 5, 10, 20].map((clump) => describeClumps(base, clump))));
}

function describeClumps(base: number, clump: number) {
  const endings = simulateClumps(RELEASES, base, clump);
  return {
    "bad of live": percent(base),
    "errors at a time": clump,
    promoted: percent(endings.promoted),
    held: percent(endings.held),
    "rolled back (wrong)": percent(endings["rolled back"]),
  };
}

function describeRelease(perSecond: number, base: number) {
  const { same, twice } = simulateRelease(RELEASES, perSecond, base);
  return {
    "requests/s": perSecond,
    "bad of live": percent(base),
    "no difference: promoted": percent(same.promoted),
    "held ": percent(same.held),
    "rolled back (wrong)": percent(same["rolled back"]),
    "twice the margin: rolled back": percent(twice["rolled back"]),
    held: percent(twice.held),
    "promoted (wrong)": percent(twice.promoted),
  };
}

function describeRivals(perSecond: 1 | 10, base: number, worse: number) {
  const { release, ...rivals } = simulateRivals(RELEASES, perSecond, base, worse);
  const wrong = (endings: Endings) => {
    const share = worse === 0 ? endings["rolled back"] : endings.promoted;
    return `${percent(share)}, ${endings.served}`;
  };
  return {
    "requests/s": perSecond,
    "bad of live": percent(base),
    "new is worse by": percent(worse),
    "this rule": wrong(release),
    "and held": percent(release.held),
    "Flagger 99 %": wrong(rivals.flagger),
    "Flagger fitted": wrong(rivals["fitted flagger"]),
    "smartdeploy 1 %": wrong(rivals.smartdeploy),
  };
}
