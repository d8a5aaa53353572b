/** The state of one training that is looked at: its samples, and which step of it is shown. */

import { batch, computed, signal } from "@preact/signals";

import { get, isOver, sentenceOf } from "../engine/client";
import { numbersIn, resized } from "../gallery/small";
import { heatOf, type Heat, type Scale } from "../maps/levels";
import { place, type Placed } from "../maps/place";
import { remembered } from "../remembered";
import type { Geometry, Pair } from "../view";

export interface Moment {
  step: number;
  epoch: number;
  epoch_end: boolean;
  title: string;
  numbers: Record<string, number | null | (number | null)[]>;
}

/** What a sample's target was at one moment. */
export interface Look {
  title: string;
  score: number | null;
  probability: number | null;
  top: string;
  is_top: boolean;
  note: string;
  map?: { shape: Pair; values: string };
}

export interface Sample {
  name: string;
  label: string;
  title: string;
  /** As the model sees it. */
  picture: string;
  range: Pair;
  /** One for each moment. */
  steps: Look[];
}

/** A training as the engine tells it, of one target of each sample. */
export interface Told {
  model: string;
  method: string;
  layer: string;
  rectified: boolean;
  targets: number;
  count: number;
  input_size: Pair;
  moments: Moment[];
  samples: Sample[];
  missing: { step: number; reason: string }[];
  notes: string[];
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
const MOST_SAMPLES = 100;
const AT_FIRST = 4;

const keyOf = ({ sample, target }: Pane) => `${sample} ${target}`;

export class Training {
  /** One for each target, without maps. */
  readonly told = signal<Told[]>([]);
  readonly error = signal("");
  readonly panes = signal<Pane[]>([]);
  readonly at = signal(0);
  readonly playing = signal(false);
  readonly pace = signal(500);
  readonly shared = signal<Shared>("map");
  readonly curve = signal("probability");
  /** Samples with their maps, by `keyOf`. */
  private readonly looks = signal<Record<string, Sample>>({});
  private asked = new Set<string>();
  private placed = new Map<string, Placed>();
  private timer = 0;

  readonly about = computed(() => this.told.value[0] ?? null);
  readonly moment = computed(() => this.about.value?.moments[this.at.value] ?? null);

  constructor(readonly id: string) {
    void this.follow();
  }

  private ask(target: number, more: Record<string, number | boolean>): Promise<Told> {
    const words = new URLSearchParams(Object.entries({ target, ...more }).map(([name, value]) => [name, String(value)]));
    return get<Told>(`trainings/${this.id}?${words.toString()}`);
  }

  /** Ask what there is, again and again: a training may go on. */
  private async follow(): Promise<void> {
    try {
      const first = await this.ask(0, { samples: MOST_SAMPLES, maps: false });
      const before = this.about.value;
      if (!before || first.moments.length !== before.moments.length) {
        const others = Array.from({ length: first.targets - 1 }, (_, i) =>
          this.ask(i + 1, { samples: MOST_SAMPLES, maps: false }),
        );
        this.took([first, ...(await Promise.all(others))]);
      }
    } catch (error) {
      this.error.value = sentenceOf(error);
    }
    setTimeout(() => void this.follow(), AGAIN);
  }

  private took(told: Told[]): void {
    const before = this.about.value;
    const last = told[0]!.moments.length - 1;
    const atEnd = !before || this.at.value === before.moments.length - 1;
    batch(() => {
      this.told.value = told;
      this.error.value = "";
      if (!before) this.panes.value = told[0]!.samples.slice(0, AT_FIRST).map((_, sample) => ({ sample, target: 0 }));
      this.at.value = atEnd ? last : Math.min(this.at.value, last);
    });
    this.asked.clear();
    this.placed.clear();
    this.panes.value.forEach((pane) => this.need(pane));
  }

  /** Ask for the maps of a pane. */
  need(pane: Pane): void {
    const key = keyOf(pane);
    if (this.asked.has(key)) return;
    this.asked.add(key);
    this.ask(pane.target, { first: pane.sample, samples: 1 })
      .then(({ samples }) => (this.looks.value = { ...this.looks.value, [key]: samples[0]! }))
      .catch((error: unknown) => {
        this.asked.delete(key);
        if (!isOver(error)) this.error.value = sentenceOf(error);
      });
  }

  /** What is known of a pane, with or without its maps. */
  sampleOf(pane: Pane): Sample | null {
    return this.told.value[pane.target]?.samples[pane.sample] ?? null;
  }

  /** Show a sample's target, or take it away. */
  toggle(pane: Pane): void {
    const now = this.panes.value;
    const there = now.some((one) => keyOf(one) === keyOf(pane));
    this.need(pane);
    this.panes.value = there
      ? now.filter((one) => keyOf(one) !== keyOf(pane))
      : [...now, pane].sort((a, b) => a.sample - b.sample || a.target - b.target);
  }

  private get last(): number {
    return (this.about.value?.moments.length ?? 1) - 1;
  }

  goTo(at: number): void {
    this.at.value = Math.min(Math.max(at, 0), this.last);
  }

  play(on: boolean): void {
    clearInterval(this.timer);
    this.playing.value = on;
    if (!on) return;
    if (this.at.value >= this.last) this.at.value = 0;
    this.timer = window.setInterval(() => {
      if (this.at.value >= this.last) this.play(false);
      else this.at.value++;
    }, this.pace.value);
  }

  /** The numbers that were given to the recorder, by name; one for each moment. Of several, such as rates, the highest. */
  readonly numbers = computed(() => {
    const moments = this.about.value?.moments ?? [];
    const names = [...new Set(moments.flatMap((moment) => Object.keys(moment.numbers)))];
    const one = (value: number | null | (number | null)[] | undefined) =>
      Array.isArray(value) ? Math.max(...value.filter((part) => part !== null)) : (value ?? null);
    return Object.fromEntries(names.map((name) => [name, moments.map((moment) => one(moment.numbers[name]))]));
  });

  /** The heat of a pane at a moment; null while it is not there. */
  heat(pane: Pane, at: number): Heat | null {
    const placed = this.placedAt(pane, at);
    return placed && heatOf(placed, this.scaleOf(pane, placed));
  }

  private scaleOf(pane: Pane, placed: Placed): Scale {
    if (this.shared.value === "map") return { kind: "ends", ends: placed.range };
    const panes = this.shared.value === "sample" ? [pane] : this.panes.value;
    const least = this.about.value!.rectified ? 0 : -Infinity; // evidence against counts as none
    const ranges = panes.flatMap((one) => this.sampleOf(one)?.range.map((end) => Math.max(end, least)) ?? []);
    return { kind: "ends", ends: [Math.min(...ranges), Math.max(...ranges)] };
  }

  private placedAt(pane: Pane, at: number): Placed | null {
    const about = this.about.value;
    const map = this.looks.value[keyOf(pane)]?.steps[at]?.map;
    if (!about || !map) return null;
    return remembered(this.placed, `${keyOf(pane)} ${at}`, MOST_PLACED, () =>
      place(numbersIn(map.values), map.shape, whole(about.input_size), about.rectified),
    );
  }
}

/** A picture that is all that the model sees. */
function whole(size: Pair): Geometry {
  return resized({ photo_size: size, input_size: size, scale: [1, 1], offset: [0, 0] }, SIDE);
}

const trainings = new Map<string, Training>();

export function trainingOf(id: string): Training {
  const known = trainings.get(id) ?? new Training(id);
  trainings.set(id, known);
  return known;
}
