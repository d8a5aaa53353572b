/** The list of photos or texts: what is searched for, in which order, and going on in it. */

import { computed, signal } from "@preact/signals";

import { entriesOf, type Entry } from "../view";
import { photoNumber, view } from "./given";
import { WHOLE, zoom } from "./pointer";
import { leavePlaces } from "./shown";

export type Order = "given" | "sure" | "unsure" | "name";

export const order = signal<Order>("given");
export const search = signal("");
export const onlyWrong = signal(false);

/** The numbers of those in the list: those that are searched for, in the order that was chosen. */
export const listed = computed(() => {
  const words = search.value.trim().toLowerCase();
  const found = entriesOf(view.value)
    .map((entry, number) => ({ entry, number }))
    .filter(({ entry }) => !onlyWrong.value || entry.wrong)
    .filter(({ entry }) => !words || searched(entry).includes(words));
  const sure = (entry: Entry) => entry.top[0]?.probability ?? entry.top[0]?.logit ?? 0;
  const by: Record<Order, (a: Entry, b: Entry) => number> = {
    given: () => 0,
    sure: (a, b) => sure(b) - sure(a),
    unsure: (a, b) => sure(a) - sure(b),
    name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  };
  return found.sort((a, b) => by[order.value](a.entry, b.entry)).map(({ number }) => number);
});

function searched({ name, label, top }: Entry): string {
  return [name, label ?? "", top[0]?.name ?? ""].join(" ").toLowerCase();
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
