/** The state in the page's address, so that a link restores it, and going back as well. */

import { batch, effect } from "@preact/signals";

import * as brushing from "./engine/brushing";
import { askAgain } from "./engine/explaining";
import { engine, hold } from "./engine/models";
import { galleryOf } from "./gallery/gallery";
import { afterReload, keepForReload } from "./left";
import type { Stroke } from "./maps/strokes";
import { place, placeIn, type Place } from "./places";
import * as drawing from "./state/drawing";
import { photo as chosenPhoto, photoNumber, view, views } from "./state/given";
import { WHOLE, zoom } from "./state/pointer";
import { leftOut } from "./texts/leavingOut";
import { text } from "./texts/text";
import * as shown from "./state/shown";
import { entriesOf, type Pair } from "./view";

interface Kept {
  photo: number;
  /** Of the engine's photo; numbers are those of one session's list. */
  id?: string;
  name?: string;
  size?: Pair;
  shown: shown.Shown[];
  mode: shown.Mode;
  swipe: number;
  opacity: number;
  threshold: number;
  colormap: string;
  scale: drawing.ScaleName;
  zoom?: typeof zoom.value;
  /** What is looked at, and which rows of a run. */
  place: Place;
  rows?: unknown;
  /** What a model that reads texts is given. */
  text?: string;
  /** The words of it that are brushed, and what happens to them. */
  leftOut?: number[];
  does?: "hide" | "keep";
  brushed?: { strokes: Stroke[]; fill: "blur" | "mean"; does: "hide" | "keep" };
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

/** Of a text, in letters: browsers and mail programs cut longer addresses. */
const LONGEST = 4000;

/** What an address keeps of what is shown now. */
export function now(): Kept {
  const of = chosenPhoto.value;
  const { strokes, fill, does } = brushing;
  return {
    photo: photoNumber.value,
    ...(of?.id === undefined ? {} : { id: of.id, name: of.name, size: of.size }),
    shown: shown.shown.value,
    mode: shown.mode.value,
    swipe: shown.swipe.value,
    opacity: drawing.opacity.value,
    threshold: drawing.threshold.value,
    colormap: drawing.colormap.value,
    scale: drawing.scale.value,
    ...(text.value ? { text: text.value } : {}),
    ...(leftOut.value.size ? { leftOut: [...leftOut.value], does: does.value } : {}),
    ...(zoom.value.factor > 1 ? { zoom: zoom.value } : {}),
    place: place.value,
    ...(place.value.kind === "run" ? { rows: galleryOf(place.value.id).kept.value } : {}),
    ...(strokes.value.length ? { brushed: { strokes: strokes.value, fill: fill.value, does: does.value } } : {}),
  };
}

const written = (kept: Kept) =>
  `#${encodeURIComponent(JSON.stringify({ ...kept, ...(kept.text ? { text: kept.text.slice(0, LONGEST) } : {}) }))}`;

/** The link that restores what is shown. It has no token in it. */
export const linkOf = (): string => `${location.href.split("#")[0]}${written(now())}`;

const LATER = 200;

/** What is as it is where nothing else is kept: going back takes away what came later. */
const NOTHING_MORE: Partial<Kept> = { zoom: WHOLE, text: "", leftOut: [], brushed: { strokes: [], fill: "blur", does: "hide" } };

/** Restore what the address says, as far as it is there, and keep the address and the way back up to date. */
export function followAddress(): void {
  restore((afterReload() ?? history.state ?? read()) as Partial<Kept>);
  let last = now();
  let timer = 0;
  const write = () => {
    timer = 0;
    const kept = now();
    if (isSameView(last, kept)) history.replaceState(kept, "", written(kept));
    else history.pushState(kept, "", written(kept));
    last = kept;
  };
  addEventListener("pagehide", () => {
    keepForReload(now());
    if (!timer) return;
    clearTimeout(timer);
    write();
  });
  addEventListener("popstate", (event: PopStateEvent) => {
    clearTimeout(timer);
    timer = 0;
    restore({ ...NOTHING_MORE, ...((event.state as Kept | null) ?? read()) });
    last = now();
  });
  effect(() => {
    now();
    clearTimeout(timer); // browsers refuse an address that changes with every move
    timer = setTimeout(write, LATER);
  });
}

/**
 * Whether one goes back over both at once: what sliders, brush and zoom changed is no view of its own, nor is what the
 * engine filled in.
 */
function isSameView(before: Kept, after: Kept): boolean {
  if (before.place.kind === "photos" && !before.shown.length) return true; // there was nothing to see yet
  const viewOf = ({ place, id, photo, mode, scale }: Kept) => JSON.stringify([place, id ?? photo, mode, scale]);
  if (viewOf(before) !== viewOf(after) || before.shown.length !== after.shown.length) return false;
  if (before.rows && JSON.stringify(before.rows) !== JSON.stringify(after.rows)) return false;
  return before.shown.every((one, at) => {
    const other = after.shown[at]!;
    return one.model === other.model && one.target === other.target && (!one.method || one.method === other.method);
  });
}

/** Show what was kept, as far as it is there. */
export function restore(kept: Partial<Kept>): void {
  batch(() => {
    restorePlace(kept);
    restorePhoto(kept);
    if (typeof kept.text === "string") text.value = kept.text;
    if (Array.isArray(kept.leftOut)) leftOut.value = new Set(kept.leftOut.filter((one) => Number.isInteger(one) && one >= 0));
    if (kept.does === "keep" || kept.does === "hide") brushing.does.value = kept.does;
    const there = (Array.isArray(kept.shown) ? kept.shown : [])
      .map((one) => ({ ...one, model: one?.model ?? 0 }))
      .filter(isThere);
    if (there.length) shown.shown.value = there;
    if (MODES.includes(kept.mode as shown.Mode)) shown.mode.value = kept.mode as shown.Mode;
    if (SCALES.includes(kept.scale as drawing.ScaleName)) drawing.scale.value = kept.scale as drawing.ScaleName;
    if (isShare(kept.opacity)) drawing.opacity.value = kept.opacity;
    if (isShare(kept.threshold)) drawing.threshold.value = kept.threshold;
    if (isShare(kept.swipe)) shown.swipe.value = kept.swipe;
    if (typeof kept.colormap === "string") drawing.colormap.value = kept.colormap;
    const { zoom: part } = kept;
    if (part && [part.factor, part.y, part.x].every(Number.isFinite) && part.factor >= 1) zoom.value = part;
    askAgain();
  });
  restoreBrush(kept.brushed);
}

function restorePlace({ place: there, rows }: Partial<Kept>): void {
  const at = placeIn(there);
  if (!at) return;
  const known = at.kind === "run" ? engine.value?.runs : engine.value?.trainings;
  if (at.kind !== "photos" && !known?.some((one) => one.id === at.id)) return;
  if (at.kind === "run") galleryOf(at.id).restore(rows);
  place.value = at;
}

function restorePhoto({ photo, id, name, size }: Partial<Kept>): void {
  const numberOf = () => view.value.photos.findIndex((one) => one.id !== undefined && one.id === id);
  if (engine.value && typeof id === "string" && numberOf() < 0 && typeof name === "string")
    hold([{ id, name, size: size ?? null }]); // one that was dropped: the engine still has it, or says that it has not
  if (numberOf() >= 0) photoNumber.value = numberOf();
  else if (typeof photo === "number" && photo in entriesOf(view.value)) photoNumber.value = photo;
}

function restoreBrush(brushed: Kept["brushed"]): void {
  const strokes = Array.isArray(brushed?.strokes) ? brushed.strokes.filter(isStroke) : [];
  if (!brushed) return;
  batch(() => {
    brushing.strokes.value = strokes;
    brushing.fill.value = brushed.fill === "mean" ? "mean" : "blur";
    brushing.does.value = brushed.does === "keep" ? "keep" : "hide";
  });
}

const isPair = (value: unknown): value is Pair =>
  Array.isArray(value) && value.length === 2 && value.every((one) => Number.isFinite(one));

const isStroke = (one: Stroke) =>
  one?.kind === "line"
    ? isShare(one.radius) && Array.isArray(one.points) && one.points.every(isPair)
    : one?.kind === "region" && isPair(one.shape) && /^[A-Za-z0-9+/=]*$/.test(one.bits);

const isThere = (one: shown.Shown) => {
  if (!Number.isInteger(one.target) && typeof one.target !== "string") return false;
  if (typeof one.method !== "string" || typeof one.layer !== "string") return false;
  const of = views.value[one.model];
  if (engine.value) return of !== undefined; // what is not there is asked for, or refused with a reason
  return of?.keys.some((key) => key.method === one.method && key.layer === one.layer) ?? false;
};

function isShare(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 1;
}
