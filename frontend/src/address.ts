/** The state in the page's address, so that a link restores it. */

import { effect } from "@preact/signals";

import * as drawing from "./state/drawing";
import { photoNumber, view, views } from "./state/given";
import * as shown from "./state/shown";

interface Kept {
  photo: number;
  shown: shown.Shown[];
  mode: shown.Mode;
  opacity: number;
  threshold: number;
  colormap: string;
  scale: drawing.ScaleName;
}

const MODES: shown.Mode[] = ["side", "swipe", "difference"];
const SCALES: drawing.ScaleName[] = ["map", "photo", "all", "signed"];

function read(): Partial<Kept> {
  try {
    const kept: unknown = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    return typeof kept === "object" && kept !== null ? (kept as Partial<Kept>) : {};
  } catch {
    return {}; // an address without a state, or one that somebody has cut
  }
}

/** Restore what the address says, as far as it is there, and keep the address up to date. */
export function followAddress(): void {
  const kept = read();
  if (typeof kept.photo === "number" && kept.photo in view.value.photos) photoNumber.value = kept.photo;
  const there = (Array.isArray(kept.shown) ? kept.shown : [])
    .map((one) => ({ ...one, model: one?.model ?? 0 }))
    .filter(
      (one) =>
        (Number.isInteger(one.target) || typeof one.target === "string") &&
        views.value[one.model]?.keys.some((key) => key.method === one.method && key.layer === one.layer),
    );
  if (there.length) shown.shown.value = there;
  if (MODES.includes(kept.mode as shown.Mode)) shown.mode.value = kept.mode as shown.Mode;
  if (SCALES.includes(kept.scale as drawing.ScaleName)) drawing.scale.value = kept.scale as drawing.ScaleName;
  if (isShare(kept.opacity)) drawing.opacity.value = kept.opacity;
  if (isShare(kept.threshold)) drawing.threshold.value = kept.threshold;
  if (typeof kept.colormap === "string") drawing.colormap.value = kept.colormap;
  effect(() => {
    const now: Kept = {
      photo: photoNumber.value,
      shown: shown.shown.value,
      mode: shown.mode.value,
      opacity: drawing.opacity.value,
      threshold: drawing.threshold.value,
      colormap: drawing.colormap.value,
      scale: drawing.scale.value,
    };
    history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(now))}`);
  });
}

function isShare(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 1;
}
