/** Where the pointer is and what part is seen: one cursor and one zoom for all panes. */

import { signal } from "@preact/signals";

import type { Pair } from "../view";

/** As shares of the picture (vertical, horizontal). */
export const cursor = signal<Pair | null>(null);

export const WHOLE = { factor: 1, y: 0.5, x: 0.5 };
/** How many times larger, and the point of the picture in the middle. */
export const zoom = signal(WHOLE);
