/** Which maps are shown, and beside one another how. */

import { computed, signal } from "@preact/signals";

import type { Photo, RawMap, Target, View } from "../view";
import { photoNumber, views } from "./given";

/** One map of the photo that is looked at. */
export interface Shown {
  /** The position among the models. */
  model: number;
  method: string;
  layer: string;
  /** As it is written, or the position among the photo's targets: 0 is what the model says first. */
  target: string | number;
}

export type Mode = "side" | "swipe" | "difference";

export const shown = signal<Shown[]>([]);
export const mode = signal<Mode>("side");
export const swipe = signal(0.5);

/** One of them with all that belongs to it; without a map as long as it is not there. */
export interface Found {
  one: Shown;
  view: View;
  photo: Photo;
  target: Target | null;
  map: RawMap | null;
}

/** What is shown of the photo that is looked at, in order. */
export const found = computed<Found[]>(() =>
  shown.value.flatMap((one) => {
    const view = views.value[one.model];
    const photo = view?.photos[photoNumber.value];
    return view && photo ? [find(view, photo, one)] : [];
  }),
);

/** Those of them that have their map. */
export const maps = computed(() => found.value.filter((one): one is Found & { map: RawMap } => one.map !== null));

function find(view: View, photo: Photo, one: Shown): Found {
  const number = targetNumber(photo, one.target);
  const map =
    photo.maps.find((m) => m.method === one.method && m.layer === one.layer && m.target === number) ?? null;
  return { one, view, photo, target: number === null ? null : (photo.targets[number] ?? null), map };
}

/** The position of a target among a photo's; null if it is not there. A number beyond them is the first. */
export function targetNumber(photo: Photo, target: string | number): number | null {
  if (typeof target === "number") return photo.targets.length === 0 ? null : target < photo.targets.length ? target : 0;
  const at = photo.targets.findIndex((other) => other.spec === target);
  return at < 0 ? null : at;
}

export const same = (a: Shown, b: Shown) =>
  a.model === b.model && a.method === b.method && a.layer === b.layer && a.target === b.target;

/** Show one map, or add it to (or take it from) those that are compared. */
export function show(one: Shown, beside: boolean): void {
  const now = shown.value;
  if (!beside) shown.value = [one];
  else if (!now.some((other) => same(one, other))) shown.value = [...now, one];
  else if (now.length > 1) shown.value = now.filter((other) => !same(one, other));
}
