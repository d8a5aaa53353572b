/** The state of one gallery: which rows of a run are looked at, and those that are there by now. */

import { batch, computed, signal, untracked } from "@preact/signals";

import { isOver, sentenceOf } from "../engine/client";
import { otherOrders, usualOrders, type Order } from "./orders";
import * as rows from "./rows";
import type { About, Card, Key } from "./rows";
import { conditionOf, kindOf, type Choice } from "./where";

export const PAGE = 60;
const MOST_PAGES = 60;
/** Milliseconds between two looks at a run that is being written. */
const AGAIN = 2000;
/** While somebody drags the bar, pages that pass by are not asked for. */
const REST = 40;

export type Tab = "photos" | "means" | "points";
export const TABS: Record<Tab, string> = { photos: "Photos", means: "Mean maps", points: "What it looked at" };

const EVERYTHING: Choice = {
  method: null, layer: null, target: null, by: "top1", of: null, wrong: false, failed: false, sql: "",
};

/** What an address keeps of a gallery. */
type Kept = Partial<{ choice: Partial<Choice>; order: string; descending: boolean; tab: Tab }>;

export class Gallery {
  readonly about = signal<About | null>(null);
  readonly error = signal("");
  readonly choice = signal<Choice>(EVERYTHING);
  readonly order = signal<Order>({ words: "as in the run", sort: "", descending: false, shows: null });
  /** These rows alone, as they were drawn around. */
  readonly among = signal<Key[] | null>(null);
  readonly tab = signal<Tab>("photos");
  /** The least width of a tile. */
  readonly side = signal(176);
  /** The row that is looked at. */
  readonly current = signal(0);
  readonly count = signal<number | null>(null);
  readonly columns = signal(1);
  /** Whether the filters are open, where there is no room for them beside the rows. */
  readonly filters = signal(false);
  readonly facets = signal<rows.Facets | null>(null);
  /** Whether a photo could not be read. */
  readonly gone = signal(0);
  /** Counts what has arrived. */
  readonly arrived = signal(0);
  /** Where the list was left. */
  top = 0;
  /** Whether the tile that is current takes the focus when it is there. */
  takesFocus = false;

  readonly condition = computed(() => conditionOf(this.choice.value));
  readonly kind = computed(() => kindOf(this.choice.value).join(" AND "));
  private readonly question = computed(() => ({
    where: this.condition.value,
    sort: this.order.value.sort,
    descending: this.order.value.descending,
    images: this.among.value && [...new Set(this.among.value.map(([id]) => id))],
  }));

  private pages = new Map<number, Card[]>();
  private asked = new Map<number, AbortController>();
  private wanted: [number, number] = [0, 0];
  private resting = 0;
  private classesAsked = new AbortController();
  private stale = false;

  constructor(readonly run: string) {
    void this.open();
  }

  private async open(): Promise<void> {
    try {
      const about = await rows.about(this.run);
      batch(() => {
        this.about.value = about;
        this.error.value = "";
        this.choice.value = {
          ...EVERYTHING,
          method: about.methods[0]?.name ?? null,
          layer: about.layers[0] ?? null,
          target: about.targets.length > 1 ? about.targets[0]! : null,
          by: about.labelled ? "label" : "top1",
        };
        this.restoreNow();
      });
      this.question.subscribe(() => untracked(() => this.again()));
      this.kind.subscribe((where) => untracked(() => this.askClasses(where)));
      if (!about.complete) setTimeout(() => void this.follow(), AGAIN);
    } catch (error) {
      this.error.value = sentenceOf(error);
      setTimeout(() => void this.open(), AGAIN); // a run that has no finished shard yet
    }
  }

  /** What an address keeps of it. */
  readonly kept = computed<Kept | null>(() =>
    this.about.value === null
      ? this.restored.value // it is not there yet, and not forgotten
      : {
          choice: this.choice.value,
          order: this.order.value.words,
          descending: this.order.value.descending,
          tab: this.tab.value,
        },
  );

  private readonly restored = signal<Kept | null>(null);

  /** Look at what an address has kept, as far as it is there. */
  restore(kept: unknown): void {
    this.restored.value = typeof kept === "object" ? kept : null;
    if (this.about.value) this.restoreNow();
  }

  private restoreNow(): void {
    const { choice, order, descending, tab } = this.restored.value ?? {};
    this.restored.value = null;
    if (choice) this.choice.value = { ...this.choice.value, ...plain(choice) };
    const found = this.orders().find((one) => one.words === order);
    if (found) this.order.value = { ...found, descending: descending ?? found.descending };
    if (tab && tab in TABS) this.tab.value = tab;
  }

  orders(): Order[] {
    const about = this.about.value;
    return about ? [...usualOrders(about), ...otherOrders(about)] : [];
  }

  /** Go on asking while the run is being written. */
  private async follow(): Promise<void> {
    try {
      const before = this.about.value!;
      const now = await rows.about(this.run);
      if (now.rows !== before.rows || now.complete !== before.complete) {
        this.about.value = now;
        this.stale = true;
        this.wants(...this.wanted);
        this.askClasses(this.kind.value);
      }
      if (now.complete) return;
    } catch (error) {
      this.error.value = sentenceOf(error);
    }
    setTimeout(() => void this.follow(), AGAIN);
  }

  /** Another question: nothing that is there belongs to it. */
  private again(): void {
    for (const one of this.asked.values()) one.abort();
    this.asked.clear();
    this.pages.clear();
    batch(() => {
      this.count.value = null;
      this.current.value = 0;
      this.error.value = "";
      this.arrived.value++;
    });
    this.top = 0;
    void this.ask(0);
  }

  /** The row at a place; null while it is not there. */
  at(index: number): Card | null {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE] ?? null;
  }

  /** These places are in sight. */
  wants(first: number, last: number): void {
    this.wanted = [first, last];
    clearTimeout(this.resting);
    const missing = this.missing();
    if (!missing.length) return;
    if (!this.asked.size) missing.forEach((number) => void this.ask(number));
    else this.resting = window.setTimeout(() => this.missing().forEach((number) => void this.ask(number)), REST);
  }

  private missing(): number[] {
    const [first, last] = this.wanted;
    const found: number[] = [];
    for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(first, last - 1) / PAGE); page++)
      if ((this.stale || !this.pages.has(page)) && !this.asked.has(page)) found.push(page);
    if (this.stale) {
      for (const page of this.pages.keys()) if (!found.includes(page)) this.pages.delete(page);
      this.stale = false;
    }
    return found;
  }

  private async ask(number: number): Promise<void> {
    for (const [other, one] of this.asked) {
      if (Math.abs(other - number) < 4) continue;
      one.abort(); // it has passed by
      this.asked.delete(other);
    }
    const stop = new AbortController();
    this.asked.set(number, stop);
    try {
      const asked = { ...this.question.peek(), offset: number * PAGE, limit: PAGE };
      const page = await rows.page(this.run, asked, this.order.peek().shows, stop.signal);
      if (stop.signal.aborted) return;
      this.pages.delete(number);
      this.pages.set(number, page.rows);
      if (this.pages.size > MOST_PAGES) this.pages.delete(this.pages.keys().next().value as number);
      batch(() => {
        this.count.value = page.count;
        this.error.value = "";
        this.arrived.value++;
      });
    } catch (error) {
      if (!isOver(error)) this.error.value = sentenceOf(error);
    } finally {
      if (this.asked.get(number) === stop) this.asked.delete(number);
    }
  }

  private askClasses(where: string): void {
    this.classesAsked.abort();
    this.classesAsked = new AbortController();
    rows
      .facets(this.run, where, this.classesAsked.signal)
      .then((found) => (this.facets.value = found))
      .catch((error: unknown) => {
        if (!isOver(error)) this.error.value = sentenceOf(error);
      });
  }

  choose(part: Partial<Choice>): void {
    batch(() => {
      this.choice.value = { ...this.choice.value, ...part };
      this.among.value = null;
    });
  }

  /** Go on by some rows, or back. */
  step(by: number): void {
    const last = (this.count.value ?? 1) - 1;
    this.current.value = Math.min(Math.max(this.current.value + by, 0), Math.max(last, 0));
  }

  isRectified(method: string | null): boolean {
    return this.about.value?.methods.find((one) => one.name === method)?.rectified ?? true;
  }
}

/** Those parts of a choice that are what they have to be. */
function plain(choice: Partial<Choice>): Partial<Choice> {
  const fits = (name: keyof Choice, value: unknown) =>
    name in EVERYTHING &&
    (typeof value === typeof EVERYTHING[name] ||
      (EVERYTHING[name] === null && (value === null || typeof value === (name === "target" ? "number" : "string")))) &&
    (name !== "by" || value === "label" || value === "top1");
  return Object.fromEntries(Object.entries(choice).filter(([name, value]) => fits(name as keyof Choice, value)));
}

const galleries = new Map<string, Gallery>();

/** The gallery of a run; it is the same as before when somebody comes back to it. */
export function galleryOf(run: string): Gallery {
  const known = galleries.get(run) ?? new Gallery(run);
  galleries.set(run, known);
  return known;
}
