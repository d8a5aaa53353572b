/** The classes that a cell speaks for, while the pointer rests on it. */

import { effect, signal } from "@preact/signals";

import { cellAt } from "../maps/place";
import { remembered } from "../remembered";
import { cursor } from "../state/pointer";
import { maps } from "../state/shown";
import * as api from "./api";
import { isOver, sentenceOf } from "./client";
import { engine } from "./models";

const REST = 110;
const MOST = 400;

export interface Speech {
  /** Of which map's layer, by model and layer. */
  of: string;
  cell: string;
  words: string;
}

/** What is said of the cell below the pointer; null while nothing is known. */
export const speech = signal<Speech | null>(null);

const known = new Map<string, Promise<string>>();

/** Ask for the cell of the first map below the pointer, once the pointer rests. */
export function listenToCells(): void {
  effect(() => {
    const [first] = maps.value;
    const at = cursor.value;
    const model = first && engine.value?.models[first.one.model];
    if (!first || !at || !model || !first.photo.id) return;
    const [height, width] = first.photo.geometry.photo_size;
    const cell = cellAt(at[0] * height, at[1] * width, first.map.shape, first.photo.geometry);
    if (!cell) return;
    const asked = { model: model.id, photo: first.photo.id, layer: first.map.layer, row: cell[0], column: cell[1] };
    const of = `${first.one.model} ${asked.layer}`;
    const timer = setTimeout(async () => {
      const words = await remembered(known, JSON.stringify(asked), MOST, () => said(asked));
      speech.value = { of, cell: cell.join(), words };
    }, REST);
    return () => clearTimeout(timer);
  });
}

async function said(asked: Parameters<typeof api.cells>[0]): Promise<string> {
  try {
    const { classes, why } = await api.cells(asked, new AbortController().signal);
    if (!classes.length) return why;
    const names = classes.map((one) =>
      one.share === null ? one.name : `${one.name} ${(100 * one.share).toFixed(0)} %`,
    );
    return `speaks for ${names.join(", ")}`;
  } catch (error) {
    known.delete(JSON.stringify(asked));
    return isOver(error) ? "" : sentenceOf(error);
  }
}
