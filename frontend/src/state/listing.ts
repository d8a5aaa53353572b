/** The list of photos: what is searched for, in which order, and going on in it. */

import { computed, signal } from "@preact/signals";

import type { Photo } from "../view";
import { photoNumber, view } from "./given";
import { WHOLE, zoom } from "./pointer";
import { leavePlaces } from "./shown";

export type Order = "given" | "sure" | "unsure" | "name";

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

export function goTo(number: number): void {
  if (number !== photoNumber.value) leavePlaces();
  photoNumber.value = number;
  zoom.value = WHOLE;
}

/** Go on in the list, or back. */
export function step(by: number): void {
  const at = listed.value.indexOf(photoNumber.value);
  const next = listed.value[Math.min(Math.max(at + by, 0), listed.value.length - 1)];
  if (next !== undefined) goTo(next);
}
