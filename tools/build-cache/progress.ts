/**
 * Reports the progress of a long step, many times a second. An empty text ends the step. Text that ends in a line break
 * stays visible.
 */
export type Report = (progress: string) => void;

/** On a terminal, one line that is rewritten and finally cleared; elsewhere one line for each step and every 10 s. */
export function createReporter(stream: NodeJS.WriteStream): Report {
  let step = "";
  let writtenAt = 0;
  return (progress) => {
    if (stream.isTTY) {
      // A line that wraps could not be rewritten.
      const line = progress.endsWith("\n") ? progress : progress.slice(0, (stream.columns || 80) - 1);
      stream.write(`\r\x1b[K${line}`);
      return;
    }
    const nextStep = progress.replaceAll(/\d+/g, "");
    if (progress === "" || (nextStep === step && performance.now() - writtenAt < 10_000)) return;
    stream.write(`${progress.trimEnd()}\n`);
    step = nextStep;
    writtenAt = performance.now();
  };
}
