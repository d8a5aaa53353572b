/** What the pointer does on a picture: look, brush, draw a box. */

import { signal } from "@preact/signals";

import type { Pair } from "../view";

export type Tool = "look" | "brush" | "box";

export const tool = signal<Tool>("look");

/** The box that is being drawn: two corners, as shares of the picture. */
export const drawn = signal<[Pair, Pair] | null>(null);
