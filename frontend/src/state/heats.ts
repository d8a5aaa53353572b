/** Heats of maps at the chosen scale; those that were last drawn are kept. */

import { computed } from "@preact/signals";

import { correlation, difference, heatOf, type Heat, type Scale } from "../maps/levels";
import { place, type Placed } from "../maps/place";
import { remembered } from "../remembered";
import { numbersOf, type Pair, type Photo, type RawMap, type View } from "../view";
import { scale, type ScaleName } from "./drawing";
import { maps } from "./shown";

const MOST_HEATS = 48;
const placed = new Map<RawMap, Placed>();
const heats = new Map<string, Heat>();
const numbers = new WeakMap<RawMap, number>();
let counted = 0;

function placedOf(of: Photo, map: RawMap, rectified: boolean): Placed {
  if (!rectified) return place(numbersOf(map), map.shape, of.geometry, false);
  return remembered(placed, map, MOST_HEATS, () => place(numbersOf(map), map.shape, of.geometry, true));
}

const isRectified = (view: View, map: RawMap) =>
  view.methods.find((one) => one.name === map.method)?.rectified ?? true;

/** The heat of a map, at the scale that is chosen. */
export function heat(view: View, of: Photo, map: RawMap, name: ScaleName): Heat {
  if (!numbers.has(map)) numbers.set(map, counted++);
  const shared = name === "photo" || name === "all"; // its ends depend on what else is there
  const key = `${numbers.get(map)} ${name}${shared ? ` ${of.maps.length} ${endsOfAll(view, map)}` : ""}`;
  return remembered(heats, key, MOST_HEATS, () => {
    const on = placedOf(of, map, name !== "signed" && isRectified(view, map));
    return heatOf(on, scaleOf(view, of, map, on, name));
  });
}

const endsOfAll = (view: View, map: RawMap) =>
  view.keys.find((one) => one.method === map.method && one.layer === map.layer)?.range;

function scaleOf(view: View, of: Photo, map: RawMap, on: Placed, name: ScaleName): Scale {
  if (name === "signed") return { kind: "signed", most: Math.max(-on.range[0], on.range[1]) };
  if (name === "map") return { kind: "ends", ends: on.range };
  if (name === "all") return { kind: "ends", ends: endsOfAll(view, map) ?? on.range };
  const ranges = of.maps
    .filter((one) => one.method === map.method && one.layer === map.layer)
    .map((one) => placedOf(of, one, isRectified(view, map)).range);
  return {
    kind: "ends",
    ends: [Math.min(...ranges.map((range) => range[0])), Math.max(...ranges.map((range) => range[1]))],
  };
}

/** The value of a heat below the pointer, 0 … 1 (−1 … 1 if signed); null where the model did not see. */
export function valueAt(on: Heat, at: Pair, signed: boolean): number | null {
  const y = Math.min(on.height - 1, Math.floor(at[0] * on.height));
  const x = Math.min(on.width - 1, Math.floor(at[1] * on.width));
  const level = on.levels[y * on.width + x]!;
  if (level > 255) return null;
  return signed ? (level - 127.5) / 127.5 : level / 255;
}

/** The first two maps beside one another: their difference and how they correlate. */
export const compared = computed(() => {
  const [first, second] = maps.value;
  if (!first || !second) return null;
  const a = heat(first.view, first.photo, first.map, scale.value);
  const b = heat(second.view, second.photo, second.map, scale.value);
  if (a.width !== b.width || a.height !== b.height) return null;
  return { heat: difference(a, b), r: correlation(a, b) };
});
