/** The rows of words as they are drawn: each map by itself, two with a divider between the words, or their difference. */

import { computed } from "@preact/signals";

import { inWords } from "../parts/Bar";
import { threshold } from "../state/drawing";
import { mode, swipe, type Shown } from "../state/shown";
import type { Target, Text, WordMap } from "../view";
import { classOf, rows, type Row } from "./text";

export interface Line {
  key: string;
  title: string;
  detail: string;
  words: Text["words"];
  /** How strongly each word is coloured, −1 (against) to 1 (for). */
  strengths: number[];
  /** What is said of the word that is pointed at. */
  says: (at: number) => { value: string; words: string };
  /** Of an older text than the one in the field. */
  old: boolean;
  note: string;
  /** What is taken away with it; null for what is made of two. */
  of: Shown | null;
}

/** A row whose map is there. */
export type There = Row & { answer: Text; map: WordMap; target: Target };

const isThere = (row: Row): row is There => row.answer !== null && row.map !== null && row.target !== null;

export const there = computed(() => rows.value.filter(isThere));

/** The evidence of each word, as a share of the strongest. */
export function strengthsOf({ evidence }: WordMap): number[] {
  const most = Math.max(...evidence.map((value) => Math.abs(value ?? 0)));
  return evidence.map((value) => (most > 0 ? (value ?? 0) / most : 0));
}

export const signed = (value: number, digits = 3): string => value.toPrecision(digits).replace("-", "−");

const isAgainst = (row: Row) => classOf(row)?.startsWith("not:") ?? false;

const detailOf = (row: There): string =>
  [...(isAgainst(row) ? [] : [inWords(row.target.probability, row.target.score)]), row.map.method, row.map.layer].join(" · ");

function lineOf(row: There): Line {
  const { answer, map, target } = row;
  return {
    key: JSON.stringify(row.one),
    title: target.title,
    detail: detailOf(row),
    words: answer.words,
    strengths: strengthsOf(map),
    says: (at) => {
      const value = map.evidence[at] ?? null;
      const speaks = value !== null && value !== 0 ? ` speaks ${value > 0 ? "for" : "against"} ${target.title}` : "";
      return { value: value === null ? "no number" : signed(value), words: `${answer.words[at]!.text}${speaks}` };
    },
    old: row.old,
    note: map.note,
    of: row.one,
  };
}

/** The first two rows, where they are of the same words. */
export const pair = computed<[There, There] | null>(() => {
  const [first, second] = there.value;
  return first && second && first.answer.words.length === second.answer.words.length ? [first, second] : null;
});

/** How the two correlate over the words; NaN if one is the same everywhere. */
export const agreement = computed(() => {
  if (!pair.value) return null;
  const [a, b] = pair.value.map((row) => strengthsOf(row.map)) as [number[], number[]];
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [u, v] = [a, b].map((values) => values.map((value) => value - mean(values))) as [number[], number[]];
  const dot = (x: number[], y: number[]) => x.reduce((sum, value, at) => sum + value * y[at]!, 0);
  return dot(u, v) / Math.sqrt(dot(u, u) * dot(v, v));
});

/** By what two rows differ. */
function between([first, second]: [There, There]): [string, string] {
  const facts = [(row: There) => row.target.title, (row: There) => row.map.method, (row: There) => row.map.layer];
  const differing = facts.filter((fact) => fact(first) !== fact(second));
  return [first, second].map((row) => differing.map((fact) => fact(row)).join(" · ")) as [string, string];
}

/** How many words stand before the divider. */
export const divider = computed(() => Math.round(swipe.value * (pair.value?.[0].answer.words.length ?? 0)));

function swiped(two: [There, There]): Line {
  const [first, second] = two.map(lineOf) as [Line, Line];
  const [left, right] = between(two);
  const isFirst = (at: number) => at < divider.value;
  return {
    ...first,
    key: "swipe",
    title: left,
    detail: `before the divider; behind it: ${right}`,
    strengths: first.strengths.map((value, at) => (isFirst(at) ? value : second.strengths[at]!)),
    says: (at) => (isFirst(at) ? first : second).says(at),
    note: [...new Set([first.note, second.note])].filter(Boolean).join(" "),
    of: null,
  };
}

function difference(two: [There, There]): Line {
  const [a, b] = two.map((row) => strengthsOf(row.map)) as [number[], number[]];
  const [left, right] = between(two);
  return {
    ...lineOf(two[0]),
    key: "difference",
    title: `${left} less ${right}`,
    detail: "each row on its own scale",
    strengths: a.map((value, at) => (value - b[at]!) / 2),
    says: (at) => ({
      value: signed(a[at]! - b[at]!, 2),
      words: `${two[0].answer.words[at]!.text}: ${signed(a[at]!, 2)} less ${signed(b[at]!, 2)}`,
    }),
    note: "",
    of: null,
  };
}

export const lines = computed<Line[]>(() => {
  if (pair.value && mode.value === "swipe") return [swiped(pair.value)];
  if (pair.value && mode.value === "difference") return [difference(pair.value)];
  return there.value.map(lineOf);
});

/** Whether a threshold leaves a word its colour. */
export const isColoured = (strength: number): boolean => Math.abs(strength) >= threshold.value;

/** What a threshold leaves: how many words, and what share of all evidence; null without one. */
export function left({ strengths }: Line): { words: number; mass: number } | null {
  if (!threshold.value) return null;
  const kept = strengths.filter(isColoured);
  const sum = (values: number[]) => values.reduce((all, value) => all + Math.abs(value), 0);
  return { words: kept.length, mass: sum(kept) / (sum(strengths) || 1) };
}
