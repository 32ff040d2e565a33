// How an image behaves. The tag of the image names it: `welcome:1.2.0-slow` is slow.

export interface Variant {
  /** Seconds until it is ready; Infinity: never. */
  readonly startup: number;
  /** Azure does not find the image: the operation fails, and no revision is created. */
  readonly isMissing?: boolean;
  /** Azure cannot activate the revision. */
  readonly failsToActivate?: boolean;
  /** Seconds after its start when it begins to crash, again and again. */
  readonly crashesAfter?: number;
  /** It begins to crash a minute after it has this share of the traffic, in percent. */
  readonly crashesAtWeight?: number;
  /** Share of the requests that it answers with 500, except those to /healthz and /readyz. */
  readonly errors?: number;
  /** The errors begin with this share of the traffic, in percent. */
  readonly errorsFromWeight?: number;
  /** Share of the requests that take two seconds longer. */
  readonly slow?: number;
}

const good: Variant = { startup: 20 };
export const neverReady: Variant = { startup: Number.POSITIVE_INFINITY };

const noImage: Variant = { startup: Number.POSITIVE_INFINITY, isMissing: true };

const variants: Readonly<Record<string, Variant>> = {
  good,
  /** Fails its tests at the label. */
  broken: { startup: 20, errors: 1 },
  /** One of five requests of users fails; tests at the label, before it has users, succeed. */
  errors: { startup: 20, errors: 0.2, errorsFromWeight: 1 },
  "errors-at-50": { startup: 20, errors: 0.2, errorsFromWeight: 50 },
  slow: { startup: 20, slow: 0.3 },
  "crash-loop": { startup: 20, crashesAfter: 3 },
  "crash-at-100": { startup: 20, crashesAtWeight: 100 },
  "never-ready": neverReady,
  "no-image": noImage,
  "activation-failed": { startup: Number.POSITIVE_INFINITY, failsToActivate: true },
};

export const variantNames = Object.keys(variants);

/** Milliseconds that a slow request takes longer. */
export const slowness = 2_000;

/**
 * The variant whose name is the longest end of the tag. A tag without a hyphen is good. With another end, such as a
 * mistyped one, there is no such image.
 */
export function variantOf(image: string): Variant {
  const [, tag = ""] = /:([^:/@]+)(?:@.+)?$/.exec(image) ?? [];
  const names = variantNames.filter((name) => tag === name || tag.endsWith(`-${name}`));
  const [longest] = names.toSorted((a, b) => b.length - a.length);
  return (longest && variants[longest]) || (tag.includes("-") ? noImage : good);
}

/** Whether a request of this path can get one of the errors. */
export function canFail(variant: Variant, path: string, weight: number): boolean {
  if (variant.errors === 1) return true;
  return weight >= (variant.errorsFromWeight ?? 0) && path !== "/healthz" && path !== "/readyz";
}
