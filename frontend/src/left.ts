/** What was shown when the page was left before the address had followed: a reload shows that, and not what was before. */

const NAME = "camscope-left";

/** Keep it for a reload of the page at this address; null where the address says all. */
export function keepForReload(at: string, shown: unknown): void {
  try {
    if (shown === null) sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, JSON.stringify({ at, shown }));
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
    return kept?.at === location.href ? (kept.shown ?? null) : null;
  } catch {
    return null;
  }
}
