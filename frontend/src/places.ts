/** What the page is at: photos, a run or a training. */

import { signal } from "@preact/signals";

export type Place = { kind: "photos" } | { kind: "run"; id: string } | { kind: "training"; id: string };

export const place = signal<Place>({ kind: "photos" });

export function go(to: Place): void {
  place.value = to;
}

/** A place as an address keeps it; null if it is none. */
export function placeIn(kept: unknown): Place | null {
  const { kind, id } = (kept ?? {}) as { kind?: unknown; id?: unknown };
  if (kind === "photos") return { kind };
  return (kind === "run" || kind === "training") && typeof id === "string" ? { kind, id } : null;
}
