/** Rows of a run, as the engine gives them. */

import { get, post } from "../engine/client";
import type { Geometry, Method, Pair, View } from "../view";

/** A run as a whole. */
export interface About {
  id: string;
  name: string;
  rows: number;
  images: number;
  failed: number;
  complete: boolean;
  shards: { there: number; of: number };
  model: string;
  methods: Method[];
  layers: string[];
  targets: number[];
  labelled: boolean;
  columns: string[];
  numbers: string[];
}

/** A map as the engine sends it. */
export interface Sent {
  shape: Pair;
  /** float32, base64. */
  values: string;
}

/** A row: a photo with one of its maps, and numbers by the names of their columns. */
export interface Card {
  id: number;
  row: number;
  source: string;
  label: string | null;
  status: string;
  reason: string | null;
  top1: string | null;
  top1_probability: number | null;
  target: string | null;
  target_number: number | null;
  method: string | null;
  layer: string | null;
  map?: Sent;
  geometry?: Geometry;
  [column: string]: unknown;
}

export interface Page {
  count: number;
  complete: boolean;
  rows: Card[];
}

/** One row among others: the number of its image, and its own among the image's. */
export type Key = [number, number];

export interface Question {
  where: string;
  sort: string;
  descending: boolean;
  /** Of these images alone. */
  images: number[] | null;
}

export interface Counted {
  value: string | number | boolean | null;
  count: number;
}

export interface Facets {
  categories: Partial<Record<string, Counted[]>>;
}

export interface Means {
  count: number;
  sampled: boolean;
  means: (Counted & { map: Sent })[];
}

export interface Points {
  x: string;
  y: string;
  count: number;
  sampled: boolean;
  points: { id: number[]; row: number[]; x: number[]; y: number[]; colour: { of: string | null; wrong: boolean | null }[] };
  components: (Sent & { share: number })[];
}

/** What a photo is called: its file's name. */
export const nameOf = (card: Card): string => card.source.split(/[\\/]/).pop() || card.source;

const words = (given: Record<string, string | number | boolean>) =>
  new URLSearchParams(Object.entries(given).map(([name, value]) => [name, String(value)])).toString();

export const about = (run: string) => get<About>(`runs/${run}`);

/** What of a row a tile shows. */
const SHOWN = [
  "source", "label", "status", "reason", "top1", "top1_probability", "target", "target_number", "method", "layer",
];

export const page = (
  run: string,
  asked: Question & { offset: number; limit: number },
  shows: string | null,
  signal: AbortSignal,
) => post<Page>(`runs/${run}/rows`, { ...asked, maps: true, columns: shows ? [...SHOWN, shows] : SHOWN }, signal);

export const facets = (run: string, where: string, signal: AbortSignal) =>
  get<Facets>(`runs/${run}/facets?${words({ where, numbers: false })}`, signal);

export const means = (run: string, by: string, where: string, signal: AbortSignal) =>
  get<Means>(`runs/${run}/means?${words({ by, where })}`, signal);

/** Points, each with its class and whether the model was wrong. */
export const points = (run: string, x: string, y: string, where: string, labelled: boolean, signal: AbortSignal) =>
  get<Points>(
    `runs/${run}/scatter?${words({ x, y, where, colour: `{'of': ${labelled ? "label" : "top1"}, 'wrong': label != top1}` })}`,
    signal,
  );

export const imageView = (run: string, id: number) => get<View>(`runs/${run}/rows/${id}`);

export const pictureAddress = (run: string, id: number, side: number) => `/api/runs/${run}/photos/${id}?side=${side}`;
