/** What the page is at: photos, a run or a training. */

import { signal } from "@preact/signals";

export type Place = { kind: "photos" } | { kind: "run"; id: string } | { kind: "training"; id: string };

export const place = signal<Place>({ kind: "photos" });

/** What there is to be at, beside photos. */
export interface Named {
  id: string;
  name: string;
}

export const runs = signal<Named[]>([]);
export const trainings = signal<Named[]>([]);

/** The run that the photo is of that is looked at; null for any other photo. */
export const cameFrom = signal<string | null>(null);
