/** The engine's models and photos; a view is kept for each model, with all photos in it. */

import { batch, computed, signal } from "@preact/signals";

import { modelNumber, views } from "../state/given";
import { goTo } from "../state/listing";
import { tell } from "../state/notices";
import { showWhatIsSaid, shown } from "../state/shown";
import type { EngineStart, Photo, View } from "../view";
import * as api from "./api";
import { sentenceOf } from "./client";

/** What the engine says of itself; null in a report, which has none. */
export const engine = signal<api.EngineState | null>(null);

/** The model that the controls speak of; null in a report. */
export const model = computed(() => engine.value?.models[modelNumber.value] ?? null);

/** Pixels along the longer side of the grid that maps are drawn on, and of the picture below it. */
export const MAP_SIDE = 512;
const PICTURE_SIDE = 1280;

const POLL = 500;

/** Ask the engine what there is, and go on asking while a model is being loaded. */
export async function begin(start: EngineStart): Promise<void> {
  const said = await api.state();
  batch(() => {
    engine.value = said;
    views.value = said.models.map((one) => viewOf(one, start));
    hold(said.photos);
    if (said.models.length && said.photos.length) shown.value = [{ model: 0, method: "", layer: "", target: 0 }];
  });
  void follow();
}

async function follow(): Promise<void> {
  while (engine.value?.models.some((one) => one.status === "loading")) {
    await new Promise((go) => setTimeout(go, POLL));
    let said: api.EngineState;
    try {
      said = await api.state();
    } catch (error) {
      tell(sentenceOf(error));
      return;
    }
    const stored = engine.value.models.filter((one) => !said.models.some((other) => other.id === one.id));
    engine.value = { ...said, models: [...said.models, ...stored] };
  }
}

function viewOf(one: api.Model, start: EngineStart): View {
  return {
    version: 1,
    title: "camscope",
    model: one.name,
    spec: one.spec,
    untrained: one.untrained,
    methods: [],
    keys: [],
    colormaps: start.colormaps,
    photos: [],
    notes: [],
    versions: `camscope ${start.version}`,
    pages: [],
  };
}

/** Add photos to the list, as those of every model; those that are there stay. */
export function hold(photos: api.HeldPhoto[]): void {
  const there = new Set(views.value[0]?.photos.map((one) => one.id));
  const fresh = photos.filter((one) => !there.has(one.id));
  if (fresh.length) views.value = views.value.map((view) => ({ ...view, photos: [...view.photos, ...fresh.map(unexplained)] }));
}

/** Photos that were dropped in another tab are there when one comes back to this one. */
export function followOtherTabs(): void {
  addEventListener("focus", () => {
    api.state().then(
      ({ photos }) => hold(photos),
      () => undefined, // whoever asks for something next is told
    );
  });
}

function unexplained(photo: api.HeldPhoto): Photo {
  const size = photo.size ?? [3, 4];
  return {
    id: photo.id,
    name: photo.name,
    label: null,
    wrong: null,
    size,
    picture: api.pictureOf(photo.id, PICTURE_SIDE),
    geometry: { photo_size: size, input_size: size, scale: [1, 1], offset: [0, 0] },
    top: [],
    targets: [],
    maps: [],
    notes: [],
  };
}

/** Look at photos that have just come. */
export function lookAtNew(photos: api.HeldPhoto[]): void {
  if (!photos.length) return;
  batch(() => {
    hold(photos);
    goTo(views.value[0]?.photos.findIndex((one) => one.id === photos[0]!.id) ?? 0);
    showWhatIsSaid();
    if (!shown.value.length) shown.value = [{ model: modelNumber.value, method: "", layer: "", target: 0 }];
  });
}
