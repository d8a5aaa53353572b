/** The captions that a model like CLIP compares a photo with: each is more or less likely only beside the others. */

import { batch, signal } from "@preact/signals";

import { modelNumber, views } from "../state/given";
import { shown, showTarget } from "../state/shown";
import { engine } from "./models";

const written = signal<ReadonlyMap<number, string[]>>(new Map());

export const comparesCaptions = (model: number): boolean => engine.value?.models[model]?.kind === "captions";

/** All captions of a model: those that were written, and those that a link shows. */
export function captionsOf(model: number): string[] {
  const inLink = shown.value.flatMap((one) =>
    one.model === model && typeof one.target === "string" ? [one.target.replace(/^not:/, "")] : [],
  );
  return [...new Set([...(written.value.get(model) ?? []), ...inLink])];
}

/** Compare with one more caption, and show it: what was said beside fewer of them is forgotten. */
export function addCaption(caption: string, beside: boolean): void {
  const model = modelNumber.value;
  batch(() => {
    written.value = new Map(written.value).set(model, [...new Set([...captionsOf(model), caption])]);
    views.value = views.value.map((view, number) =>
      number === model
        ? { ...view, photos: view.photos.map((photo) => ({ ...photo, top: [], targets: [], maps: [] })) }
        : view,
    );
    showTarget(caption, beside);
  });
}
