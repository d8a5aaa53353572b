/** From numbers on the picture to levels 0 … 255, and what a threshold leaves of them. */

import type { Pair } from "../view";
import type { Placed } from "./place";

/** What the model did not see, beside the levels 0 … 255. */
export const UNSEEN = 256;

export interface Heat {
  width: number;
  height: number;
  /** 0 … 255, or UNSEEN. */
  levels: Uint16Array;
  /** How many pixels have each level. */
  counts: Float64Array;
}

/** How numbers become levels: the values that become 0 and 255. A signed scale is symmetric around zero. */
export type Scale = { kind: "ends"; ends: Pair } | { kind: "signed"; most: number };

const ROUNDING = 16 * 1.1920929e-7;

/** The levels of a map. A map that is the same everywhere is zero, or in the middle of a signed scale. */
export function heatOf(placed: Placed, scale: Scale): Heat {
  const [low, high] = scale.kind === "signed" ? [-scale.most, scale.most] : scale.ends;
  const flat = !(high - low > ROUNDING * Math.max(Math.abs(high), Math.abs(low)));
  const factor = flat ? 0 : 255 / (high - low);
  const base = flat ? (scale.kind === "signed" ? 128 : 0.5) : 0.5;
  const { values } = placed;
  const levels = new Uint16Array(values.length);
  const counts = new Float64Array(257);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    let level = UNSEEN;
    if (value === value) {
      const scaled = (value - low) * factor + base;
      level = scaled <= 0 ? 0 : scaled >= 255 ? 255 : scaled | 0;
    }
    levels[i] = level;
    counts[level]!++;
  }
  return { width: placed.width, height: placed.height, levels, counts };
}

/** The difference of two heats, as a signed heat: 0 below, 255 above, the middle where they are alike. */
export function difference(first: Heat, second: Heat): Heat {
  const levels = new Uint16Array(first.levels.length);
  const counts = new Float64Array(257);
  for (let i = 0; i < levels.length; i++) {
    const a = first.levels[i]!;
    const b = second.levels[i]!;
    const level = a === UNSEEN || b === UNSEEN ? UNSEEN : (a - b + 255) >> 1;
    levels[i] = level;
    counts[level]!++;
  }
  return { width: first.width, height: first.height, levels, counts };
}

/** What a threshold leaves: its share of the area that the model saw, and of the sum of all levels. */
export function above(heat: Heat, threshold: number): { area: number; mass: number } {
  let pixels = 0;
  let mass = 0;
  let allPixels = 0;
  let allMass = 0;
  for (let level = 0; level < 256; level++) {
    const count = heat.counts[level]!;
    allPixels += count;
    allMass += count * level;
    if (level >= threshold * 255) {
      pixels += count;
      mass += count * level;
    }
  }
  return { area: allPixels ? pixels / allPixels : 0, mass: allMass ? mass / allMass : 0 };
}

/** How two heats correlate where both are there; NaN if one is the same everywhere. */
export function correlation(first: Heat, second: Heat): number {
  let n = 0;
  let a = 0;
  let b = 0;
  let aa = 0;
  let bb = 0;
  let ab = 0;
  for (let i = 0; i < first.levels.length; i++) {
    const x = first.levels[i]!;
    const y = second.levels[i]!;
    if (x === UNSEEN || y === UNSEEN) continue;
    n++;
    a += x;
    b += y;
    aa += x * x;
    bb += y * y;
    ab += x * y;
  }
  return (n * ab - a * b) / Math.sqrt((n * aa - a * a) * (n * bb - b * b));
}
