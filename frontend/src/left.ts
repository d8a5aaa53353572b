/**
 * What was shown when the page was left: a reload shows that. Its address may be older: a browser that has begun a reload
 * does not hear of an address that follows.
 */

const NAME = "camscope-left";

/** Keep it for a reload. */
export function keepForReload(shown: unknown): void {
  try {
    sessionStorage.setItem(NAME, JSON.stringify({ at: location.pathname, shown }));
  } catch {
    // a browser that keeps nothing: the address is what there is
  }
}

/** What was kept, if this is that reload. */
export function afterReload(): unknown {
  const [how] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  if (how?.type !== "reload") return null;
  try {
    const kept = JSON.parse(sessionStorage.getItem(NAME) ?? "null") as { at?: unknown; shown?: unknown } | null;
    return kept?.at === location.pathname ? (kept.shown ?? null) : null;
  } catch {
    return null;
  }
}
