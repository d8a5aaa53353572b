/** Words are left out (or kept alone), and what the model says changes at once. */

import { batch, computed, signal } from "@preact/signals";

import * as api from "../engine/api";
import { measuredWhenever } from "../engine/asking";
import { does } from "../engine/brushing";
import { model } from "../engine/models";
import { classOf, readsTexts, rows, text } from "./text";

const MOST_STEPS = 100;

/** The numbers of the words that are brushed. */
export const leftOut = signal<ReadonlySet<number>>(new Set());
const before = signal<ReadonlySet<number>[]>([]);
const undone = signal<ReadonlySet<number>[]>([]);
export const canUndo = computed(() => before.value.length > 0);
export const canRedo = computed(() => undone.value.length > 0);

/** Whether a word is gone: it is left out, or others are kept alone. */
export const isGone = (word: number): boolean =>
  leftOut.value.size > 0 && leftOut.value.has(word) === (does.value === "hide");

/** Write another text: what was brushed was of the one before. */
export function write(words: string): void {
  batch(() => {
    text.value = words;
    leftOut.value = new Set();
    before.value = [];
    undone.value = [];
  });
}

/** Keep what there is, to go back to it: a stroke begins. */
export function beginStroke(): void {
  before.value = [...before.value.slice(-MOST_STEPS), leftOut.value];
  undone.value = [];
}

export function brush(word: number, on: boolean): void {
  if (leftOut.value.has(word) === on) return;
  const now = new Set(leftOut.value);
  if (on) now.add(word);
  else now.delete(word);
  leftOut.value = now;
}

export function toggle(word: number): void {
  beginStroke();
  brush(word, !leftOut.value.has(word));
}

function exchange(from: typeof before, to: typeof before): void {
  const last = from.value[from.value.length - 1];
  if (!last) return;
  batch(() => {
    from.value = from.value.slice(0, -1);
    to.value = [...to.value, leftOut.value];
    leftOut.value = last;
  });
}
export const undo = (): void => exchange(before, undone);
export const redo = (): void => exchange(undone, before);

export function clear(): void {
  beginStroke();
  leftOut.value = new Set();
}

const targets = computed(() => [...new Set(rows.value.flatMap((row) => classOf(row) ?? []))]);

/** What the model says without these words. */
const measured = measuredWhenever(() => {
  const wish = { model: model.value?.id, text: text.value, words: [...leftOut.value], mode: does.value, targets: targets.value };
  if (!readsTexts.value || !wish.model || !wish.words.length || !wish.text.trim()) return null;
  return { ...wish, model: wish.model };
}, api.textScores);
export const { altered, problem, measuring, follow: measureWhatIsLeftOut } = measured;
