// Prints how releases end that are simulated, by their traffic and by how much worse the new version is.
import { type Endings, simulateClumps, simulateRelease, simulateRivals } from "./simulate.ts";

const bases = [0.001, 0.005, 0.02];
const percent = (share: number) => `${Number((100 * share).toFixed(1))} %`;

export function printReleases(releases: number): void {
  console.log(
    `${releases} simulated releases for each row, with steps of 5, 25 and 50 % and the two checks of welcome.`,
  );
  console.table([1, 3, 10].flatMap((perSecond) => bases.map((base) => describeRelease(releases, perSecond, base))));
  console.log(
    "The check of 5xx against fixed thresholds on the same traffic: % wrong, requests that the version served.",
  );
  console.table(
    ([10, 1] as const).flatMap((perSecond) =>
      bases.flatMap((base) => [0, 0.02, 0.2].map((worse) => describeRivals(releases, perSecond, base, worse))),
    ),
  );
  console.log("Errors that come together, at 10 requests a second: new versions without a difference.");
  console.table(bases.flatMap((base) => [1, 5, 10, 20].map((clump) => describeClumps(releases, base, clump))));
}

function describeClumps(releases: number, base: number, clump: number) {
  const endings = simulateClumps(releases, base, clump);
  return {
    "bad of live": percent(base),
    "errors at a time": clump,
    promoted: percent(endings.promoted),
    held: percent(endings.held),
    "rolled back (wrong)": percent(endings["rolled back"]),
  };
}

function describeRelease(releases: number, perSecond: number, base: number) {
  const { same, twice } = simulateRelease(releases, perSecond, base);
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

function describeRivals(releases: number, perSecond: 1 | 10, base: number, worse: number) {
  const { release, ...rivals } = simulateRivals(releases, perSecond, base, worse);
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
