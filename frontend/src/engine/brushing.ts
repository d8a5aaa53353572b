/** A region is brushed away (or kept alone), and what the model says changes at once. */

import { computed, effect, signal } from "@preact/signals";

import { covered, gridOf, regionOf, type Stroke } from "../maps/strokes";
import type { Heat } from "../maps/levels";
import { modelNumber, photo } from "../state/given";
import { found, wordsOf } from "../state/shown";
import { textOf, type Pair } from "../view";
import * as api from "./api";
import { measuredWhenever } from "./asking";
import { captionsOf, comparesCaptions } from "./captions";
import { isPlace } from "./explaining";
import { model } from "./models";

export const strokes = signal<Stroke[]>([]);
export const undone = signal<Stroke[]>([]);
/** Of the brush, as a share of the picture's longer side. */
export const radius = signal(0.06);
export const fill = signal<"blur" | "mean">("blur");
export const does = signal<"hide" | "keep">("hide");

/** The targets that are shown of the chosen model, as they are written; a brushed region has no words. */
const named = computed(() => {
  const number = modelNumber.value;
  if (comparesCaptions(number)) return captionsOf(number);
  const words = found.value
    .filter((one) => one.one.model === number)
    .flatMap(({ target }) => wordsOf(target) ?? [])
    .filter((one) => !isPlace(one));
  return [...new Set(words)];
});

/** What is brushed of the photo, as a small grid; null where nothing is. */
export const brushed = computed(() => {
  const of = photo.value;
  if (!of || !strokes.value.length) return null;
  const shape = gridOf(of.size);
  const cells = covered(strokes.value, shape);
  const alongTime = of.axes && of.geometry.input_size[0] === 1; // the model knows no above and below
  return { shape, cells: alongTime ? wholeColumns(cells, shape) : cells };
});

function wholeColumns(cells: Uint8Array, [, width]: Pair): Uint8Array {
  const columns = new Uint8Array(width);
  cells.forEach((cell, at) => (columns[at % width]! |= cell));
  return cells.map((_, at) => columns[at % width]!);
}

export function beginStroke(at: Pair): void {
  strokes.value = [...strokes.value, { kind: "line", points: [rounded(at)], radius: radius.value }];
  undone.value = [];
}

export function goOnStroke(at: Pair): void {
  const now = strokes.value;
  const last = now[now.length - 1];
  if (last?.kind === "line") strokes.value = [...now.slice(0, -1), { ...last, points: [...last.points, rounded(at)] }];
}

/** As fine as the grid needs, and short in a link. */
const rounded = (at: Pair): Pair => [Math.round(at[0] * 1000) / 1000, Math.round(at[1] * 1000) / 1000];

/** Brush all that a heatmap shows above a threshold. */
export function brushAbove(heat: Heat, threshold: number): void {
  const isMarked = (y: number, x: number) => {
    const level = heat.levels[Math.floor(y * heat.height) * heat.width + Math.floor(x * heat.width)]!;
    return level <= 255 && level >= threshold * 255;
  };
  strokes.value = [...strokes.value, regionOf([heat.height, heat.width], isMarked)];
  undone.value = [];
}

export function undo(): void {
  const last = strokes.value[strokes.value.length - 1];
  if (!last) return;
  strokes.value = strokes.value.slice(0, -1);
  undone.value = [...undone.value, last];
}

export function redo(): void {
  const last = undone.value[undone.value.length - 1];
  if (!last) return;
  undone.value = undone.value.slice(0, -1);
  strokes.value = [...strokes.value, last];
}

export function clear(): void {
  strokes.value = [];
  undone.value = [];
}

export function maskOf({ shape, cells }: { shape: Pair; cells: Uint8Array }): api.Mask {
  return { shape, values: textOf(cells) };
}

/** What the model says of the altered photo. */
const measured = measuredWhenever(() => {
  const mask = brushed.value;
  const wish = { model: model.value?.id, photo: photo.value?.id, fill: fill.value, mode: does.value, targets: named.value };
  if (!mask || !wish.model || !wish.photo) return null;
  return { ...wish, model: wish.model, photo: wish.photo, mask: maskOf(mask) };
}, api.scores);
export const { altered, problem, measuring } = measured;

/** Measure whenever something is brushed, from now on. */
export function measureWhatIsBrushed(): void {
  let last = photo.peek()?.id;
  effect(() => {
    const id = photo.value?.id;
    if (id !== last) clear(); // strokes are of one photo
    last = id;
  });
  measured.follow();
}
