/** The result of one check. */
export interface Finding {
  /** fix = wrong, and `--fix` corrects it; FAIL = wrong, and only the reader can correct it. */
  status: "ok" | "fix" | "FAIL";
  check: string;
  text: string;
  /** The fix: an instruction, a command, or both. */
  fix?: string;
}

/** The fix of every finding with the status "fix". */
export const runWithFix = "run this again with --fix";

/** Formats a finding as one line, and its fix as indented lines. */
export function formatFinding({ status, check, text, fix }: Finding): string {
  const line = `${status.padEnd(4)}  ${check.padEnd(13)}  ${text}`;
  return fix === undefined ? line : `${line}\n${fix.replace(/^/gm, " ".repeat(21))}`;
}
