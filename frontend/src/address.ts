/** The state in the page's address, so that a link restores it. */

import { effect } from "@preact/signals";

import * as state from "./state";

interface Kept {
  photo: number;
  shown: state.Shown[];
  mode: state.Mode;
  opacity: number;
  threshold: number;
  colormap: string;
  scale: state.ScaleName;
}

const MODES: state.Mode[] = ["side", "swipe", "difference"];
const SCALES: state.ScaleName[] = ["map", "photo", "all", "signed"];

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
  const { photos, keys } = state.view.value;
  if (typeof kept.photo === "number" && kept.photo in photos) state.photoNumber.value = kept.photo;
  const there = (Array.isArray(kept.shown) ? kept.shown : []).filter(
    (one) =>
      Number.isInteger(one?.target) &&
      keys.some((key) => key.method === one.method && key.layer === one.layer),
  );
  if (there.length) state.shown.value = there;
  if (MODES.includes(kept.mode as state.Mode)) state.mode.value = kept.mode as state.Mode;
  if (SCALES.includes(kept.scale as state.ScaleName)) state.scale.value = kept.scale as state.ScaleName;
  if (isShare(kept.opacity)) state.opacity.value = kept.opacity;
  if (isShare(kept.threshold)) state.threshold.value = kept.threshold;
  if (typeof kept.colormap === "string") state.colormap.value = kept.colormap;
  effect(() => {
    const now: Kept = {
      photo: state.photoNumber.value,
      shown: state.shown.value,
      mode: state.mode.value,
      opacity: state.opacity.value,
      threshold: state.threshold.value,
      colormap: state.colormap.value,
      scale: state.scale.value,
    };
    history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(now))}`);
  });
}

function isShare(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 1;
}
