/** The state of one training that is looked at: its samples, and which step of it is shown. */

import { batch, computed, signal } from "@preact/signals";

import { get, isOver, sentenceOf } from "../engine/client";
import { numbersIn } from "../gallery/small";
import { heatOf, type Heat, type Scale } from "../maps/levels";
import { place, type Placed } from "../maps/place";
import { remembered } from "../remembered";
import type { Geometry, Method, Pair } from "../view";

export interface Moment {
  step: number;
  epoch: number;
  epoch_end: boolean;
  title: string;
}

export interface Sample {
  name: string;
  label: string;
  /** One for each target. */
  titles: string[];
  picture: string;
  geometry: Geometry;
}

export interface About {
  id: string;
  name: string;
  model: string;
  method: Method;
  layer: string;
  moments: Moment[];
  /** By name, one for each moment. */
  numbers: Record<string, (number | null)[]>;
  samples: Sample[];
  targets: number;
  missing: { step: number; reason: string }[];
  notes: string[];
}

/** The maps of one sample, step by step. */
export interface Steps {
  number: number;
  steps: number[];
  shape: Pair;
  /** Of each target, step by step: float32, base64. */
  maps: string[];
  /** target × step. */
  scores: number[][];
  probabilities: (number | null)[][];
  /** step × target. */
  titles: string[][];
  notes: string[][];
  top: string[];
  top_probabilities: (number | null)[];
}

/** Which maps share a scale: each by itself, those of a sample and target, or all that are shown. */
export type Shared = "map" | "sample" | "all";

export interface Pane {
  sample: number;
  target: number;
}

const AGAIN = 2000;
const SIDE = 320;
const MOST_PLACED = 600;
const AT_FIRST = 4;

export class Training {
  readonly about = signal<About | null>(null);
  readonly error = signal("");
  readonly panes = signal<Pane[]>([]);
  readonly at = signal(0);
  readonly playing = signal(false);
  readonly pace = signal(500);
  readonly shared = signal<Shared>("map");
  readonly curve = signal("probability");
  readonly steps = signal<Record<number, Steps>>({});
  private asked = new Set<number>();
  private placed = new Map<string, Placed>();
  private values = new Map<string, Float32Array>();
  private timer = 0;

  readonly moment = computed(() => this.about.value?.moments[this.at.value] ?? null);

  constructor(readonly id: string) {
    void this.follow();
  }

  /** Ask what there is, again and again: a training may go on. */
  private async follow(): Promise<void> {
    try {
      const now = await get<About>(`trainings/${this.id}`);
      const before = this.about.value;
      if (!before || now.moments.length !== before.moments.length) {
        const atEnd = before !== null && this.at.value === before.moments.length - 1;
        batch(() => {
          this.about.value = now;
          this.error.value = "";
          if (!before) {
            this.panes.value = now.samples.slice(0, AT_FIRST).map((_, sample) => ({ sample, target: 0 }));
            this.at.value = now.moments.length - 1;
          } else if (atEnd) this.at.value = now.moments.length - 1;
          this.at.value = Math.min(this.at.value, now.moments.length - 1);
        });
        this.asked.clear();
        this.values.clear();
        this.placed.clear();
        this.panes.value.forEach((pane) => this.need(pane.sample));
      }
    } catch (error) {
      this.error.value = sentenceOf(error);
    }
    setTimeout(() => void this.follow(), AGAIN);
  }

  need(sample: number): void {
    if (this.asked.has(sample)) return;
    this.asked.add(sample);
    get<Steps>(`trainings/${this.id}/samples/${sample}`)
      .then((steps) => (this.steps.value = { ...this.steps.value, [sample]: steps }))
      .catch((error: unknown) => {
        if (!isOver(error)) this.error.value = sentenceOf(error);
      });
  }

  /** Show a sample's target, or take it away. */
  toggle(pane: Pane): void {
    const now = this.panes.value;
    const there = now.some((one) => one.sample === pane.sample && one.target === pane.target);
    this.need(pane.sample);
    this.panes.value = there
      ? now.filter((one) => one.sample !== pane.sample || one.target !== pane.target)
      : [...now, pane].sort((a, b) => a.sample - b.sample || a.target - b.target);
  }

  goTo(at: number): void {
    const last = (this.about.value?.moments.length ?? 1) - 1;
    this.at.value = Math.min(Math.max(at, 0), last);
  }

  play(on: boolean): void {
    clearInterval(this.timer);
    this.playing.value = on;
    if (!on) return;
    const last = () => (this.about.value?.moments.length ?? 1) - 1;
    if (this.at.value >= last()) this.at.value = 0;
    this.timer = window.setInterval(() => {
      if (this.at.value >= last()) this.play(false);
      else this.at.value++;
    }, this.pace.value);
  }

  /** The heat of a pane at a moment; null while it is not there. */
  heat(pane: Pane, at: number): Heat | null {
    const placed = this.placedAt(pane, at);
    if (!placed) return null;
    return heatOf(placed, this.scaleOf(pane, placed));
  }

  private scaleOf(pane: Pane, placed: Placed): Scale {
    if (this.shared.value === "map") return { kind: "ends", ends: placed.range };
    const panes = this.shared.value === "sample" ? [pane] : this.panes.value;
    const ranges = panes.flatMap((one) =>
      this.about.value!.moments.flatMap((_, at) => this.placedAt(one, at)?.range ?? []),
    );
    return { kind: "ends", ends: [Math.min(...ranges), Math.max(...ranges)] };
  }

  private placedAt(pane: Pane, at: number): Placed | null {
    const about = this.about.value;
    const steps = this.steps.value[pane.sample];
    const sample = about?.samples[pane.sample];
    if (!about || !steps || !sample || at >= steps.steps.length) return null;
    const key = `${pane.sample} ${pane.target}`;
    return remembered(this.placed, `${key} ${at}`, MOST_PLACED, () => {
      const all = this.values.get(key) ?? numbersIn(steps.maps[pane.target]!);
      this.values.set(key, all);
      const cells = steps.shape[0] * steps.shape[1];
      const geometry = fitted(sample.geometry);
      return place(all.subarray(at * cells, (at + 1) * cells), steps.shape, geometry, about.method.rectified);
    });
  }
}

/** The geometry of the picture at the size that maps are drawn at. */
function fitted(geometry: Geometry): Geometry {
  const factor = SIDE / Math.max(...geometry.photo_size);
  if (factor >= 1) return geometry;
  const size: Pair = [Math.round(geometry.photo_size[0] * factor), Math.round(geometry.photo_size[1] * factor)];
  return {
    ...geometry,
    photo_size: size,
    scale: [
      (geometry.scale[0] * geometry.photo_size[0]) / size[0],
      (geometry.scale[1] * geometry.photo_size[1]) / size[1],
    ],
  };
}

const trainings = new Map<string, Training>();

export function trainingOf(id: string): Training {
  const known = trainings.get(id) ?? new Training(id);
  trainings.set(id, known);
  return known;
}
