/** Every map that is shown and not there is asked for; what is no longer shown is given up. */

import { batch, effect, signal } from "@preact/signals";

import { views } from "../state/given";
import { found, shown, type Found, type Shown } from "../state/shown";
import * as api from "./api";
import { captionsOf, comparesCaptions } from "./captions";
import { isOver, sentenceOf } from "./client";
import { engine, MAP_SIDE } from "./models";
import { merged } from "./merging";

/** Why a map is not there: the engine's sentence, by `keyOf`. */
export const refused = signal<ReadonlyMap<string, string>>(new Map());

/** The layers that were chosen by the engine, by model and method. */
const automatic = signal<ReadonlySet<string>>(new Set());
const automaticKey = (one: Shown) => JSON.stringify([one.model, one.method, one.layer]);
export const isAutomatic = (one: Shown): boolean => automatic.value.has(automaticKey(one));
/** Say that the engine chose the layer of a map. */
export const choseLayer = (one: Shown): void => {
  automatic.value = new Set(automatic.value).add(automaticKey(one));
};

/** How long the last map took, in seconds. */
export const seconds = signal<number | null>(null);

/** Classes that are explained before anybody asks, since they cost little beside the first. */
const TOP = 3;
/** A target that is a place is written so, with JSON behind it. */
const AT = "at:";
export const isPlace = (target: string | number) => typeof target === "string" && target.startsWith(AT);
export const placeTarget = (at: api.At) => AT + JSON.stringify(at);

/** Whether this is a layer that can be asked for; several that were taken together are the engine's own choice. */
export const isOneLayer = (layer: string): boolean => layer !== "" && !layer.includes(", ");

const asked = new Map<string, AbortController>();

export const keyOf = (photo: string, one: Shown) => JSON.stringify([photo, one.model, one.method, one.layer, one.target]);

/** Ask for what is missing, from now on. */
export function explainWhatIsShown(): void {
  effect(() => {
    const models = engine.value?.models ?? [];
    const wanted = new Map<string, Found>();
    for (const one of found.value)
      if (!one.map && one.photo.id && isAsked(models[one.one.model]) && !lacksCaptions(one.one))
        wanted.set(keyOf(one.photo.id, one.one), one);
    for (const [key, control] of asked) {
      if (wanted.has(key)) continue;
      control.abort();
      asked.delete(key);
    }
    for (const [key, one] of wanted)
      if (!asked.has(key) && !refused.value.has(key)) void ask(key, one, models[one.one.model]!.id);
  });
}

/** Whether a model is asked of photos: not if it failed, nor if it reads texts. */
const isAsked = (model: api.Model | undefined): boolean => model?.status !== "failed" && model?.kind !== "texts";

/** Forget what was refused, so that it is asked for again. */
export function askAgain(): void {
  refused.value = new Map();
}

/** What is asked for: one target, or for a model that compares captions all of them at once. */
function targetsFor(one: Shown): string[] {
  const named = typeof one.target === "string" ? [one.target] : [];
  return comparesCaptions(one.model) ? [...new Set([...captionsOf(one.model), ...named])] : named;
}

/** Whether there is nothing yet that a photo could be compared with. */
export const lacksCaptions = (one: Shown): boolean => comparesCaptions(one.model) && !targetsFor(one).length;

async function ask(key: string, { one, photo }: Found, model: string): Promise<void> {
  const control = new AbortController();
  asked.set(key, control);
  const targets = targetsFor(one);
  try {
    const answer = await api.explain(
      {
        model,
        photo: photo.id!,
        methods: one.method ? [one.method] : [],
        layers: isOneLayer(one.layer) ? [one.layer] : [],
        targets: isPlace(one.target) ? [] : targets,
        ...(isPlace(one.target) ? { at: JSON.parse(targets[0]!.slice(AT.length)) as api.At } : {}),
        ...(targets.length ? {} : { top: TOP }),
        side: MAP_SIDE,
      },
      control.signal,
    );
    asked.delete(key);
    const made = answer.keys.find((other) => other.method === one.method && other.layer === one.layer) ?? answer.keys[0];
    batch(() => {
      views.value = views.value.map((other, number) =>
        number === one.model
          ? merged(other, other.photos.findIndex(({ id }) => id === photo.id), answer, targets)
          : other,
      );
      seconds.value = answer.seconds;
      if (!made) return;
      const found = { ...one, method: made.method, layer: made.layer };
      if (!one.layer) choseLayer(found);
      shown.value = shown.value.map((other) => (keyOf(photo.id!, other) === key ? found : other));
    });
  } catch (error) {
    asked.delete(key);
    if (isOver(error)) return;
    refused.value = new Map(refused.value).set(key, sentenceOf(error));
  }
}
