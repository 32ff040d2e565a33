/** What an address responds. Without a status, nothing responded. */
export interface Answer {
  readonly status: number | undefined;
  readonly body: string;
  /** Why nothing responded. */
  readonly error?: string;
}

/** Sends one GET request. Never rejects. */
export type Probe = (url: string) => Promise<Answer>;

const timeout = 5_000;

/** Marks the requests of the release tool in the logs of the app. */
const userAgent = "dapr-on-azure-release";

export const probe: Probe = async (url) => {
  try {
    const response = await fetch(url, {
      headers: { "user-agent": userAgent },
      // What another address responds, such as a page to sign in, says nothing about the revision.
      redirect: "manual",
      signal: AbortSignal.timeout(timeout),
    });
    return { status: response.status, body: await response.text() };
  } catch (error) {
    return { status: undefined, body: "", error: reasonOf(error) };
  }
};

/** `fetch failed` alone tells nothing: its cause does. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || error.cause.name : error.message;
}

export const isGood = ({ status }: Answer) => status !== undefined && status >= 200 && status < 300;
