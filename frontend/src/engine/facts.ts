/** What the engine knows of a model or of a photo, asked for when it is first looked at. */

import { computed, effect, signal } from "@preact/signals";

import { photo } from "../state/given";
import * as api from "./api";
import { isOver, sentenceOf } from "./client";
import { model } from "./models";
import { tell } from "../state/notices";

const layersOf = signal<ReadonlyMap<string, api.Layer[]>>(new Map());
const methodsOf = signal<ReadonlyMap<string, api.MethodFacts[]>>(new Map());
const placesOf = signal<ReadonlyMap<string, api.Places>>(new Map());

/** The layers of the chosen model that a map can be made at, from the first to the last. */
export const layers = computed(() =>
  (layersOf.value.get(model.value?.id ?? "") ?? []).filter((layer) => layer.grid !== null),
);

export const methods = computed(() => methodsOf.value.get(model.value?.id ?? "") ?? []);

/** Models that find neither instances nor regions, which need no further asking. */
const placeless = new Set<string>();

const placesKey = () => `${model.value?.id} ${photo.value?.id}`;

/** The instances or regions of the photo, as the chosen model finds them. */
export const places = computed(() => placesOf.value.get(placesKey()) ?? null);

/** Ask for all of this as it is needed. */
export function askForFacts(): void {
  effect(() => {
    const one = model.value;
    if (one?.status !== "ready") return;
    if (!layersOf.peek().has(one.id)) void layersThenMethods(one.id);
  });
  effect(() => {
    const one = model.value;
    const of = photo.value;
    if (one?.status !== "ready" || one.kind === "texts" || one.kind === "sounds" || !of?.id || !of.maps.length || placeless.has(one.id)) return; // the map comes first
    const id = of.id;
    const key = placesKey();
    if (placesOf.peek().has(key)) return;
    const find = async () => {
      const found = await api.places(one.id, id);
      if (found.kind === "none") placeless.add(one.id);
      return found;
    };
    void keep(placesOf, key, find, { kind: "none", why: "" });
  });
}

/** One after the other: a browser has few connections to a server, and other tabs want some of them. */
async function layersThenMethods(id: string): Promise<void> {
  await keep(layersOf, id, async () => (await api.layers(id)).layers, []);
  await keep(methodsOf, id, async () => (await api.methods(id)).methods, []);
}

async function keep<T>(
  into: { value: ReadonlyMap<string, T>; peek: () => ReadonlyMap<string, T> },
  key: string,
  ask: () => Promise<T>,
  meanwhile: T,
): Promise<void> {
  into.value = new Map(into.peek()).set(key, meanwhile);
  try {
    const answer = await ask();
    into.value = new Map(into.peek()).set(key, answer);
  } catch (error) {
    if (!isOver(error)) tell(sentenceOf(error));
  }
}
