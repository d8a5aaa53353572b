/** Photos of a run, opened with the maps that the run has of them. */

import { batch } from "@preact/signals";

import { modelNumber, photoNumber, views } from "../state/given";
import { tell } from "../state/notices";
import { shown } from "../state/shown";
import type { Photo, View } from "../view";
import { sentenceOf } from "./client";
import type { Model } from "./api";
import { engine } from "./models";

/** Which of its maps is looked at. */
export interface Wanted {
  method: string | null;
  layer: string | null;
  target: number | null;
}

/** Show a view of one photo beside what the engine holds. */
export function lookAtStored(run: string, name: string, view: View, wanted: Wanted): void {
  const [photo] = view.photos;
  if (!photo) return;
  batch(() => {
    const model = modelFor(run, name, view);
    let at = views.value[0]!.photos.findIndex((one) => one.id === photo.id);
    if (at < 0) {
      at = views.value[0]!.photos.length;
      views.value = views.value.map((one) => ({ ...one, photos: [...one.photos, withoutMaps(photo)] }));
    }
    views.value = views.value.map((one, number) =>
      number === model
        ? { ...one, ...joined(one, view), photos: one.photos.map((old, i) => (i === at ? joinedPhoto(old, photo) : old)) }
        : one,
    );
    const key = view.keys.find((one) => one.method === wanted.method && one.layer === wanted.layer) ?? view.keys[0];
    const target = photo.targets[wanted.target ?? 0] ?? photo.targets[0];
    photoNumber.value = at;
    modelNumber.value = model;
    if (key) shown.value = [{ model, method: key.method, layer: key.layer, target: target?.spec ?? wanted.target ?? 0 }];
  });
}

/** The engine's model that the run was made with; else one that stands for the run, and explains nothing anew. */
function modelFor(run: string, name: string, view: View): number {
  const models = engine.value?.models ?? [];
  const own = models.findIndex((one) => one.spec === view.spec && one.status !== "failed");
  if (own >= 0) return own;
  const known = models.findIndex((one) => one.id === run);
  if (known >= 0) return known;
  const stored: Model = {
    id: run,
    name: `${view.model}, as stored in ${name}`,
    spec: view.spec,
    status: "failed",
    error: `These are the maps of the run. To explain anew, start camscope app with ${view.spec ? `--model ${view.spec}` : "the model"}.`,
    kind: null,
    classes: null,
    default_method: null,
    untrained: view.untrained,
  };
  engine.value = { ...engine.value!, models: [...models, stored] };
  const photos = views.value[0]?.photos ?? [];
  views.value = [...views.value, { ...view, photos: photos.map(withoutMaps), keys: [] }];
  return models.length;
}

const withoutMaps = (photo: Photo): Photo => ({ ...photo, top: [], targets: [], maps: [] });

const joined = (before: View, now: View): Pick<View, "methods" | "keys" | "notes"> => ({
  methods: [...before.methods.filter((one) => !now.methods.some((other) => other.name === one.name)), ...now.methods],
  keys: [
    ...before.keys.filter((one) => !now.keys.some((other) => other.method === one.method && other.layer === one.layer)),
    ...now.keys,
  ],
  notes: [...new Set([...before.notes, ...now.notes])],
});

/** What is known of a photo already stays, if there is anything. */
const joinedPhoto = (before: Photo, now: Photo): Photo => (before.maps.length ? before : { ...now, notes: now.notes });

/** Ask for a view of one photo of a run, and show it; says why where it cannot be. */
export async function openStored(run: string, name: string, ask: () => Promise<View>, wanted: Wanted): Promise<boolean> {
  try {
    lookAtStored(run, name, await ask(), wanted);
    return true;
  } catch (error) {
    tell(sentenceOf(error));
    return false;
  }
}
