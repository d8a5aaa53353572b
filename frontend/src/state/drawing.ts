/** How maps are drawn: colours, scale, opacity, threshold. */

import { computed, signal } from "@preact/signals";

import { fading, tableOf } from "../maps/colours";
import { bytesOf } from "../view";
import { view } from "./given";

export type ScaleName = "map" | "photo" | "all" | "signed";

export const opacity = signal(0.6);
export const threshold = signal(0);
export const colormap = signal("");
export const scale = signal<ScaleName>("map");
/** Whether only the photo is shown, while a key is held. */
export const peek = signal(false);

export const signedColours = computed(() => scale.value === "signed");

/** The chosen colours, or the first ones that fit. */
export function coloursOf(signed: boolean): Uint8Array {
  const fitting = view.value.colormaps.filter((one) => one.signed === signed);
  const chosen = fitting.find((one) => one.name === colormap.value) ?? fitting[0];
  return chosen ? bytesOf(chosen.table) : new Uint8Array(768);
}

const NOTHING = new Uint32Array(257);

function tableFor(signed: boolean) {
  if (peek.value) return NOTHING;
  return tableOf(coloursOf(signed), opacity.value, threshold.value, signed);
}

export const table = computed(() => tableFor(signedColours.value));
export const differenceTable = computed(() => fading(tableFor(true)));
