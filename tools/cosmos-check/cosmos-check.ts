// `npm run cosmos:check`: finds the settings of an Azure Cosmos DB account that make Dapr's state store fail or
// lose data.
import { checkCosmos } from "./check.ts";
import { formatFinding } from "./finding.ts";
import { type CheckOptions, readOptions, usage } from "./options.ts";

let options: CheckOptions | undefined;
try {
  options = readOptions(process.argv.slice(2), process.env);
  if (options === undefined) console.log(usage);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
  process.exitCode = 2;
}
if (options !== undefined) {
  const { endpoint } = options;
  const note = setTimeout(() => console.error(`${endpoint} is slow; waiting up to 5 s for a response …`), 1_000);
  const findings = await checkCosmos(options);
  clearTimeout(note);
  for (const finding of findings) console.log(formatFinding(finding));
  process.exitCode = findings.every(({ status }) => status === "ok") ? 0 : 1;
}
