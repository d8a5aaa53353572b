/** What is shown, and how: signals, and what follows from them. */

import { computed, signal } from "@preact/signals";

import { correlation, difference, heatOf, type Heat, type Scale } from "./maps/levels";
import { place, type Placed } from "./maps/place";
import { tableOf } from "./maps/colours";
import { bytesOf, numbersOf, type Pair, type Photo, type RawMap, type View } from "./view";

/** One map of the photo that is shown. */
export interface Shown {
  method: string;
  layer: string;
  /** The position among the photo's targets. */
  target: number;
}

export type Mode = "side" | "swipe" | "difference";
export type ScaleName = "map" | "photo" | "all" | "signed";
export type Order = "given" | "sure" | "unsure" | "name";

export const view = signal<View>({
  version: 1, title: "", model: "", spec: null, untrained: false, methods: [], keys: [], colormaps: [], photos: [], notes: [], versions: "", pages: [],
});
export const photoNumber = signal(0);
export const shown = signal<Shown[]>([]);
export const mode = signal<Mode>("side");
export const opacity = signal(0.6);
export const threshold = signal(0);
export const colormap = signal("");
export const scale = signal<ScaleName>("map");
export const swipe = signal(0.5);
/** Whether only the photo is shown, while a key is held. */
export const peek = signal(false);
/** Where the pointer is, as shares of the picture (vertical, horizontal). */
export const cursor = signal<Pair | null>(null);
export const zoom = signal({ factor: 1, y: 0.5, x: 0.5 });

export const order = signal<Order>("given");
export const search = signal("");
export const onlyWrong = signal(false);

/** The numbers of the photos in the list: those that are searched for, in the order that was chosen. */
export const listed = computed(() => {
  const words = search.value.trim().toLowerCase();
  const found = view.value.photos
    .map((photo, number) => ({ photo, number }))
    .filter(({ photo }) => !onlyWrong.value || photo.wrong)
    .filter(({ photo }) => !words || searched(photo).includes(words));
  const sure = (photo: Photo) => photo.top[0]?.probability ?? photo.top[0]?.logit ?? 0;
  const by: Record<Order, (a: Photo, b: Photo) => number> = {
    given: () => 0,
    sure: (a, b) => sure(b) - sure(a),
    unsure: (a, b) => sure(a) - sure(b),
    name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  };
  return found.sort((a, b) => by[order.value](a.photo, b.photo)).map(({ number }) => number);
});

function searched(photo: Photo): string {
  return [photo.name, photo.label ?? "", photo.top[0]?.name ?? ""].join(" ").toLowerCase();
}

export const photo = computed<Photo | null>(() => view.value.photos[photoNumber.value] ?? null);

/** The maps that are shown of this photo, in order; a photo with fewer targets shows its first. */
export const maps = computed(() =>
  photo.value === null ? [] : shown.value.map((one) => mapOf(photo.value!, one)).filter((map) => map !== null),
);

export function mapOf(of: Photo, one: Shown): RawMap | null {
  const target = one.target < of.targets.length ? one.target : 0;
  return (
    of.maps.find((m) => m.method === one.method && m.layer === one.layer && m.target === target) ?? null
  );
}

// ------------------------------------------------------------------ heats

const MOST_HEATS = 48;
const placed = new Map<RawMap, Placed>();
const heats = new Map<string, Heat>();
const numbers = new WeakMap<RawMap, number>();
let counted = 0;

function remembered<K, V>(store: Map<K, V>, key: K, make: () => V): V {
  const known = store.get(key);
  const value = known ?? make();
  store.delete(key);
  store.set(key, value);
  if (store.size > MOST_HEATS) store.delete(store.keys().next().value as K);
  return value;
}

function placedOf(of: Photo, map: RawMap, rectified: boolean): Placed {
  if (!rectified) return place(numbersOf(map), map.shape, of.geometry, false);
  return remembered(placed, map, () => place(numbersOf(map), map.shape, of.geometry, true));
}

/** The heat of a map, at the scale that is chosen. */
export function heat(of: Photo, map: RawMap, name: ScaleName): Heat {
  if (!numbers.has(map)) numbers.set(map, counted++);
  return remembered(heats, `${numbers.get(map)} ${name}`, () => {
    const method = view.value.methods.find((one) => one.name === map.method);
    const signed = name === "signed";
    const on = placedOf(of, map, !signed && (method?.rectified ?? true));
    return heatOf(on, scaleOf(of, map, on, name));
  });
}

function scaleOf(of: Photo, map: RawMap, on: Placed, name: ScaleName): Scale {
  if (name === "signed") return { kind: "signed", most: Math.max(-on.range[0], on.range[1]) };
  if (name === "map") return { kind: "ends", ends: on.range };
  if (name === "all") {
    const key = view.value.keys.find((one) => one.method === map.method && one.layer === map.layer);
    return { kind: "ends", ends: key?.range ?? on.range };
  }
  const method = view.value.methods.find((one) => one.name === map.method);
  const ranges = of.maps
    .filter((one) => one.method === map.method && one.layer === map.layer)
    .map((one) => placedOf(of, one, method?.rectified ?? true).range);
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
export const differenceTable = computed(() => tableFor(true));

/** The first two maps beside one another: their difference and how they correlate. */
export const compared = computed(() => {
  const [first, second] = maps.value;
  const of = photo.value;
  if (!first || !second || !of) return null;
  const a = heat(of, first, scale.value);
  const b = heat(of, second, scale.value);
  return { heat: difference(a, b), r: correlation(a, b) };
});

// ------------------------------------------------------------------ what is done

export const same = (a: Shown, b: Shown) => a.method === b.method && a.layer === b.layer && a.target === b.target;

/** Show one map, or add it to (or take it from) those that are compared. */
export function show(one: Shown, beside: boolean): void {
  const now = shown.value;
  if (!beside) shown.value = [one];
  else if (!now.some((other) => same(one, other))) shown.value = [...now, one];
  else if (now.length > 1) shown.value = now.filter((other) => !same(one, other));
}

export function goTo(number: number): void {
  photoNumber.value = number;
  zoom.value = { factor: 1, y: 0.5, x: 0.5 };
}

/** Go on in the list, or back. */
export function step(by: number): void {
  const at = listed.value.indexOf(photoNumber.value);
  const next = listed.value[Math.min(Math.max(at + by, 0), listed.value.length - 1)];
  if (next !== undefined) goTo(next);
}

export function start(given: View): void {
  view.value = given;
  const first = given.keys[0];
  shown.value = first ? [{ method: first.method, layer: first.layer, target: 0 }] : [];
}
