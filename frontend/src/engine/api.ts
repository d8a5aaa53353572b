/** What the engine can be asked, and how it answers: one function for each route that the explorer uses. */

import type { Pair, Text, View } from "../view";
import { get, post, postForFile, send, stream } from "./client";

export type ModelKind = "classifier" | "detector" | "segmenter" | "captions" | "texts" | "sounds";

export interface Model {
  id: string;
  name: string;
  spec: string | null;
  status: "loading" | "ready" | "failed";
  error: string | null;
  kind: ModelKind | null;
  classes: number | null;
  default_method: string | null;
  untrained: boolean;
}

export interface HeldPhoto {
  id: string;
  name: string;
  /** Height and width; null until it was read. */
  size: Pair | null;
}

export interface EngineState {
  version: string;
  models: Model[];
  photos: HeldPhoto[];
  runs: { id: string; name: string }[];
  trainings: { id: string; name: string }[];
  limits: { bytes: number; pixels: number; photos: number };
}

export interface Layer {
  name: string;
  kind: string;
  grid: Pair | null;
  channels: number | null;
  reaches_score: boolean;
  automatic: boolean;
}

export interface MethodFacts {
  name: string;
  advice: string;
  cost: string;
  paper: string;
  offered: boolean;
  why_not: string;
}

/** A small grid over the whole photo; uint8, base64. */
export interface Mask {
  shape: Pair;
  values: string;
}

/** A region of a segmenter; boxes and instances have words of their own. */
export interface At {
  region: Mask;
}

export interface Wish {
  model: string;
  photo: string;
  methods: string[];
  layers: string[];
  targets: string[];
  top?: number;
  at?: At;
  side: number;
}

export interface Instance {
  number: number;
  target: string;
  name: string;
  box: [number, number, number, number];
  probability: number | null;
}

export interface Region {
  target: string;
  name: string;
  share: number;
}

export type Places =
  | { kind: "instances"; instances: Instance[] }
  | { kind: "regions"; regions: Region[] }
  | { kind: "none"; why: string };

/** What each cell says for the classes that it speaks for most, row by row. */
export interface CellSpeech {
  exact: true;
  grid: Pair;
  cells: { index: number; value: number }[][];
  classes: Record<string, string>;
}

export interface Said {
  score: number;
  probability: number | null;
}

/** What is said without a part, beside what is said with it. */
export interface Altered {
  targets: { title: string; index: number | null; before: Said; after: Said }[];
  /** Those that are likely before or after, the likely before first. */
  classes: { index: number; name: string; before: Said; after: Said }[];
  removed: number;
}

export interface Bounds {
  value: number;
  low: number | null;
  high: number | null;
}

export interface Verdict {
  verdict: string;
  says: string;
  why: string;
  probes: number;
  fidelity: Bounds | null;
  chance: Bounds | null;
  ceiling: number | null;
  p: number | null;
  baselines: Record<string, { fidelity: Bounds }>;
  checks: { name: string; passed: boolean | null; says: string }[];
  notes: string[];
}

export interface Progress {
  done: number;
  total: number;
  words: string;
}

const query = (words: Record<string, string | number>) =>
  new URLSearchParams(Object.entries(words).map(([name, value]) => [name, String(value)])).toString();

export const state = () => get<EngineState>("state");

export const explain = (wish: Wish, signal: AbortSignal) =>
  post<View & { automatic: boolean; seconds: number }>("explain", wish, signal);

export const layers = (model: string) => get<{ layers: Layer[] }>(`models/${model}/layers`);

export const methods = (model: string) => get<{ methods: MethodFacts[] }>(`models/${model}/methods`);

export const classes = (model: string, words: string, signal: AbortSignal) =>
  get<{ count: number; found: number; classes: { index: number; name: string }[] }>(
    `models/${model}/classes?${query({ q: words, limit: 50 })}`,
    signal,
  );

export const places = (model: string, photo: string) =>
  get<Places>(`models/${model}/instances?${query({ photo })}`);

export const cells = (asked: { model: string; photo: string; layer: string }) =>
  post<CellSpeech | { exact: false; why: string }>("cells", { ...asked, top: 3 });

export const scores = (
  asked: { model: string; photo: string; targets: string[]; mask: Mask; fill: "blur" | "mean"; mode: "hide" | "keep" },
  signal: AbortSignal,
) => post<Altered>("scores", { ...asked, page: `scores ${page}` }, signal);

/** Of a photo or of a text. */
export const trust = (
  asked: { model: string; method: string; layer: string; target: string } & ({ photo: string } | { text: string }),
  signal: AbortSignal,
) => stream("trust", asked, signal);

export interface TextWish {
  model: string;
  text: string;
  methods: string[];
  layers: string[];
  targets: string[];
  top?: number;
}

export const explainText = (wish: TextWish, signal: AbortSignal) => post<Text>("texts", wish, signal);

export const textScores = (
  asked: { model: string; text: string; words: number[]; mode: "hide" | "keep"; targets: string[] },
  signal: AbortSignal,
) => post<Altered>("texts/scores", { ...asked, page: `scores ${page}` }, signal);

/** A page that opens offline with this view in it. */
export const report = (view: View) => postForFile("report", view);

export function upload(files: File[]) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  return send<{ photos: HeldPhoto[]; failed: { name: string; error: string }[] }>("photos", form);
}

export const pictureOf = (photo: string, side: number) => `/api/photos/${photo}/picture?side=${side}`;

/** Tells this tab's requests from those of another. */
const page = crypto.getRandomValues(new Uint32Array(2)).join("-");
