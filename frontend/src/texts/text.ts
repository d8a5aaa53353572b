/** One text and what models say of it: its words, each with its evidence for every target. A report holds several. */

import { batch, computed, effect, signal } from "@preact/signals";

import * as api from "../engine/api";
import { soon } from "../engine/asking";
import { isOver, sentenceOf } from "../engine/client";
import { choseLayer, isOneLayer } from "../engine/explaining";
import { engine, model } from "../engine/models";
import type { ToJudge } from "../engine/trusting";
import { modelNumber, photoNumber, view } from "../state/given";
import { same, shown, targetNumber, type Shown } from "../state/shown";
import type { Target, Text, WordMap } from "../view";

/** What is written in the field. */
export const text = signal("");
/** The word below the pointer, in all rows of words. */
export const pointedWord = signal<number | null>(null);

/** The text of a report that is looked at; null with an engine, which is given any. */
export const stored = computed<Text | null>(() => view.value.texts?.[photoNumber.value] ?? null);

/** The text whose words are shown. */
export const written = computed(() => stored.value?.text ?? text.value);

/** Whether what is looked at are texts. */
export const readsTexts = computed(() => model.value?.kind === "texts" || view.value.texts !== undefined);

interface Read {
  text: string;
  /** null where it was refused. */
  answer: Text | null;
  why: string;
}

/** What was answered last of each map, also of an older text, which is shown until the new answer is there. */
const answers = signal<ReadonlyMap<string, Read>>(new Map());
const MOST = 64;

const keyOf = (one: Shown) => JSON.stringify([one.model, one.method, one.layer, one.target]);

/** A row of words: one map, as far as it is there. */
export interface Row {
  one: Shown;
  answer: Text | null;
  /** Of the words, for the target. */
  map: WordMap | null;
  target: Target | null;
  why: string;
  /** Whether it is of an older text than the one in the field. */
  old: boolean;
}

/** What is shown of the text, in order. */
export const rows = computed<Row[]>(() => {
  if (!readsTexts.value) return [];
  const inReport = stored.value;
  if (inReport) return shown.value.map((one) => rowOf(inReport, one));
  return shown.value
    .filter((one) => one.model === modelNumber.value)
    .map((one) => {
      const read = answers.value.get(keyOf(one));
      const answer = read?.answer ?? null;
      const number = typeof one.target === "number" ? one.target : 0;
      const map = answer?.maps.find((other) => other.target === number) ?? answer?.maps[0] ?? null;
      const target = map && answer!.targets[map.target]!;
      return { one, answer, map, target, why: read?.why ?? "", old: read?.text !== text.value };
    });
});

/** A row of a report's text. */
function rowOf(answer: Text, one: Shown): Row {
  const number = targetNumber(answer, one.target);
  const map =
    answer.maps.find((other) => other.method === one.method && other.layer === one.layer && other.target === number) ?? null;
  return { one, answer, map, target: map && answer.targets[map.target]!, why: map ? "" : "This map is not in the report.", old: false };
}

/** The classes that the model says of the text. */
export const top = computed(() => rows.value.find((row) => row.answer)?.answer?.top ?? []);

/** How a class of the text is asked for: the one that stands there as what the model says is not asked for twice. */
export const askFor = (index: number): string | number =>
  rows.value.find(({ one, target }) => typeof one.target === "number" && target?.index === index)?.one.target ??
  String(index);

/** How the class of a row is written; null while it is not known. */
export const classOf = ({ one, target }: Row): string | null =>
  typeof one.target === "string" ? one.target : (target?.spec ?? null);

/** The map of a row, to be judged. */
export function textToJudge(row: Row): ToJudge {
  const { one, map } = row;
  const of = engine.value?.models[one.model];
  const target = classOf(row);
  const asked = of && map && target !== null ? { model: of.id, text: text.value, method: map.method, layer: map.layer, target } : null;
  return { key: JSON.stringify(["text", text.value, of?.id, map?.method, map?.layer, target]), asked, what: "text" };
}

const LATER = 200;

/** Ask for what is shown and not there, from now on; what is typed meanwhile is asked in its place. */
export function readTexts(): void {
  effect(() => {
    if (!readsTexts.value || shown.value.some((one) => one.model === modelNumber.value)) return;
    shown.value = [{ model: modelNumber.value, method: "", layer: "", target: 0 }];
  });
  effect(() => {
    const written = text.value;
    const missing = written.trim() ? rows.value.filter((row) => row.old) : [];
    if (!missing.length) return;
    return soon((signal) => missing.forEach(({ one }) => void ask(written, one, signal)), LATER);
  });
}

async function ask(written: string, one: Shown, signal: AbortSignal): Promise<void> {
  const { id, classes } = engine.value!.models[one.model]!;
  try {
    const answer = await api.explainText(
      {
        model: id,
        text: written,
        methods: one.method ? [one.method] : [],
        layers: isOneLayer(one.layer) ? [one.layer] : [],
        targets: typeof one.target === "string" ? [one.target] : [],
        ...(typeof one.target === "number" && classes ? { top: Math.min(classes, MOST_CLASSES) } : {}),
      },
      signal,
    );
    const made = answer.maps[0];
    batch(() => {
      const found = { ...one, method: made?.method ?? one.method, layer: made?.layer ?? one.layer };
      if (!one.layer) choseLayer(found);
      keep(found, { text: written, answer, why: "" });
      shown.value = shown.value.map((other) => (same(other, one) ? found : other));
    });
  } catch (error) {
    if (!isOver(error)) keep(one, { text: written, answer: null, why: sentenceOf(error) });
  }
}

const MOST_CLASSES = 5;

function keep(one: Shown, read: Read): void {
  const kept = new Map(answers.value);
  kept.delete(keyOf(one));
  kept.set(keyOf(one), read);
  if (kept.size > MOST) kept.delete(kept.keys().next().value!);
  answers.value = kept;
}
