/** Searching among all classes of a model. */

import { effect, signal } from "@preact/signals";

import * as api from "./api";
import { soon } from "./asking";
import { isOver, sentenceOf } from "./client";
import { model } from "./models";

const DELAY = 120;

export const words = signal("");
export const results = signal<{ index: number; name: string }[]>([]);
/** How many classes there are with these words; null while nothing is searched for. */
export const foundClasses = signal<number | null>(null);
export const problem = signal<string | null>(null);

/** Search whenever words are typed. */
export function searchClasses(): void {
  effect(() => {
    const sought = words.value.trim();
    const of = model.value;
    if (!sought || of?.status !== "ready") {
      results.value = [];
      foundClasses.value = null;
      problem.value = null;
      return;
    }
    return soon(async (signal) => {
      try {
        const { classes, found } = await api.classes(of.id, sought, signal);
        results.value = classes;
        foundClasses.value = found;
        problem.value = null;
      } catch (error) {
        if (!isOver(error)) problem.value = sentenceOf(error);
      }
    }, DELAY);
  });
}
