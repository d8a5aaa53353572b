/** What there is to look at: a view of the same photos for each model, and which photo and model are looked at. */

import { computed, signal } from "@preact/signals";

import type { Photo, View } from "../view";

const EMPTY: View = {
  version: 1, title: "", model: "", spec: null, untrained: false, methods: [], keys: [], colormaps: [], photos: [], notes: [], versions: "", pages: [],
};

/** One for each model, with the same photos in the same order; a report has one. */
export const views = signal<View[]>([EMPTY]);
export const modelNumber = signal(0);
export const photoNumber = signal(0);

/** The view by the model that the controls speak of. */
export const view = computed(() => views.value[modelNumber.value] ?? EMPTY);

/** The photo that is looked at, as that model sees it. */
export const photo = computed<Photo | null>(() => view.value.photos[photoNumber.value] ?? null);
