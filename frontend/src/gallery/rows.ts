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

/** A row: a photo with one of its maps. */
export interface Card {
  id: number;
  row: number;
  name: string;
  source: string;
  label: string | null;
  status: string;
  reason: string | null;
  top1: string | null;
  top1_probability: number | null;
  target: string | null;
  target_number: number | null;
  score: number | null;
  probability: number | null;
  method: string | null;
  layer: string | null;
  numbers: Record<string, number | null>;
  map: { shape: Pair; values: string } | null;
  geometry: Geometry | null;
}

export interface Page {
  count: number;
  all: number;
  complete: boolean;
  shards: { there: number; of: number };
  rows: Card[];
}

/** One row among others: the number of its image, and its own among the image's. */
export type Key = [number, number];

export interface Question {
  where: string;
  sort: string;
  descending: boolean;
  among: Key[] | null;
}

export interface Classes {
  label: { value: string | null; count: number }[];
  top1: { value: string | null; count: number }[];
}

export interface Means {
  count: number;
  sampled: boolean;
  means: { value: string | number | boolean | null; count: number; shape: Pair; values: string }[];
}

export interface Points {
  x: string;
  y: string;
  count: number;
  sampled: boolean;
  names: string[];
  points: { id: number[]; row: number[]; x: number[]; y: number[]; group: number[]; wrong: boolean[] };
  components: { shape: Pair; values: string; share: number }[];
}

const words = (given: Record<string, string | number>) =>
  new URLSearchParams(Object.entries(given).map(([name, value]) => [name, String(value)])).toString();

export const about = (run: string) => get<About>(`runs/${run}`);

export const page = (run: string, asked: Question & { offset: number; limit: number }, signal: AbortSignal) =>
  post<Page>(`runs/${run}/rows`, asked, signal);

export const classes = (run: string, where: string, signal: AbortSignal) =>
  get<Classes>(`runs/${run}/classes?${words({ where })}`, signal);

export const means = (run: string, by: string, where: string, signal: AbortSignal) =>
  get<Means>(`runs/${run}/means?${words({ by, where })}`, signal);

export const points = (run: string, x: string, y: string, where: string, signal: AbortSignal) =>
  get<Points>(`runs/${run}/scatter?${words({ x, y, where })}`, signal);

export const imageView = (run: string, id: number) => get<View>(`runs/${run}/rows/${id}`);

export const pictureAddress = (run: string, id: number, side: number) => `/api/runs/${run}/photos/${id}?side=${side}`;
