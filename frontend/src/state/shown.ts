/** Which maps are shown, and beside one another how. */

import { computed, effect, signal } from "@preact/signals";

import { entriesOf, type Entry, type Photo, type RawMap, type Target, type View } from "../view";
import { modelNumber, photoNumber, views } from "./given";

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

// the controls speak of the model of the last one
effect(() => {
  const last = shown.value[shown.value.length - 1];
  if (last) modelNumber.value = last.model;
});

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

/** How a target is asked for again; null where it has no words. */
export const wordsOf = (target: Target | null): string | null => target?.asked ?? target?.spec ?? null;

/** The position of a target among a photo's or text's; null if it is not there. A number beyond them is the first. */
export function targetNumber(photo: Entry, target: string | number): number | null {
  const all = photo.targets;
  if (typeof target === "string") {
    const at = all.findIndex((one) => one.spec === target || one.asked === target);
    return at < 0 ? null : at;
  }
  // an engine adds targets as they are asked for, and says which came by themselves
  const ranked = photo.id === undefined ? all.map((_, at) => at) : [];
  all.forEach((one, at) => one.rank !== undefined && (ranked[one.rank] = at));
  return ranked[target] ?? ranked[0] ?? null;
}

/** Whether two are the same map of the photo that is looked at. */
export function same(a: Shown, b: Shown): boolean {
  const place = (one: Shown) => {
    const view = views.value[one.model];
    const photo = view && entriesOf(view)[photoNumber.value];
    return (photo && targetNumber(photo, one.target)) ?? one.target;
  };
  return a.model === b.model && a.method === b.method && a.layer === b.layer && place(a) === place(b);
}

/** Whether what is chosen is added to what is shown, also without a key held. */
export const adding = signal(false);

/** Whether a click adds: with Shift, Ctrl or Command, or where that is switched on. */
export const adds = (event: MouseEvent): boolean => event.shiftKey || event.ctrlKey || event.metaKey || adding.value;

/** Whether a target is a place in one photo, which means nothing in another. */
const isOfOnePhoto = (target: string | number) => typeof target === "string" && /^(not:)?(instance|at):/.test(target);

const isClass = (target: string | number) => typeof target === "string" && /^(not:)?\d+$/.test(target);

/** Show what the model says first in place of some targets; what is then the same is shown once. */
function showFirst(inPlaceOf: (target: string | number) => boolean): void {
  const now = shown.value.map((one) => (inPlaceOf(one.target) ? { ...one, target: 0 } : one));
  if (now.some((one, at) => one !== shown.value[at]))
    shown.value = now.filter((one, at) => now.findIndex((other) => same(one, other)) === at);
}

/** Let go of places in the photo that was looked at before. */
export const leavePlaces = (): void => showFirst(isOfOnePhoto);

/** Show what the model says of a new photo, whatever class was chosen before; captions stay. */
export const showWhatIsSaid = (): void => showFirst((target) => isOfOnePhoto(target) || isClass(target));

/** Show the last map's method and layer for another target. */
export function showTarget(target: string | number, beside: boolean): void {
  const last = shown.value[shown.value.length - 1];
  if (last) show({ ...last, target }, beside);
}

/** Show one map, or add it to (or take it from) those that are compared. */
export function show(one: Shown, beside: boolean): void {
  const now = shown.value;
  if (!beside) shown.value = [one];
  else if (!now.some((other) => same(one, other))) shown.value = [...now, one];
  else if (now.length > 1) shown.value = now.filter((other) => !same(one, other));
}
