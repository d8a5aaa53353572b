/** The classes that each cell speaks for: asked once for a photo at a layer, so that pointing costs nothing. */

import { effect, signal } from "@preact/signals";

import { cursor } from "../state/pointer";
import { maps, type Found } from "../state/shown";
import type { Pair } from "../view";
import * as api from "./api";
import { isOver, sentenceOf } from "./client";
import { engine } from "./models";

type Known = api.CellSpeech | { exact: false; why: string };

const known = signal<ReadonlyMap<string, Known>>(new Map());
const asked = new Set<string>();

const keyOf = ({ one, photo }: Found, layer: string) => JSON.stringify([one.model, photo.id, layer]);

/** Ask for the cells of every map that is shown, once the pointer is on one. */
export function listenToCells(): void {
  effect(() => {
    if (!cursor.value) return;
    for (const found of maps.value) {
      const model = engine.value?.models[found.one.model];
      const key = keyOf(found, found.map.layer);
      if (model?.kind !== "classifier" || !found.photo.id || asked.has(key)) continue;
      asked.add(key);
      void ask(key, { model: model.id, photo: found.photo.id, layer: found.map.layer });
    }
  });
}

async function ask(key: string, about: { model: string; photo: string; layer: string }): Promise<void> {
  let answer: Known;
  try {
    answer = await api.cells(about);
  } catch (error) {
    if (isOver(error)) {
      asked.delete(key);
      return;
    }
    answer = { exact: false, why: sentenceOf(error) };
  }
  known.value = new Map(known.value).set(key, answer);
}

/** What a cell of a map's layer says, in words; "" while it is not known. */
export function speechOf(found: Found, layer: string, [row, column]: Pair): string {
  const answer = known.value.get(keyOf(found, layer));
  if (!answer) return "";
  if (!answer.exact) return answer.why;
  const said = answer.cells[row * answer.grid[1] + column] ?? [];
  const names = said.map((one) => `${shortName(answer.classes[one.index] ?? String(one.index))} ${one.value.toFixed(1)}`);
  return names.length ? `speaks for ${names.join(", ")}` : "";
}

/** The first of several names of a class. */
export const shortName = (name: string): string => name.split(", ")[0]!;
