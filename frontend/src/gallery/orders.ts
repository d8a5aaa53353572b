/** In which order rows can be looked at, in words. */

import type { About } from "./rows";

export interface Order {
  words: string;
  sort: string;
  descending: boolean;
  /** The number that is shown with each row. */
  shows: string | null;
  /** Why there is no such order in this run, and what to do. */
  missing?: string;
}

const order = (words: string, sort: string, descending: boolean, shows: string | null = sort): Order => ({
  words, sort, descending, shows,
});

const NO_TRUST: Order = {
  words: "least to be trusted",
  sort: "",
  descending: false,
  shows: null,
  missing:
    "This run does not say how far its maps can be trusted: make it with camscope run … --trust, which costs two further forwards for each map. The rows stand as in the run.",
};

/** What people look for first. */
export function usualOrders(about: About): Order[] {
  const has = (name: string) => about.columns.includes(name);
  return [
    order("as in the run", "", false, null),
    ...(about.labelled ? [order("wrong and sure of it", "error", true, null)] : []),
    order("most sure", "top1_probability", true, null),
    order("least sure", "top1_probability", false, null),
    has("trust") ? order("least to be trusted", "trust", false) : NO_TRUST,
    order("evidence at the edge", "ring_share", true),
    order("evidence in the corners", "corner_share", true),
    order("looks at little", "area", false),
    order("looks everywhere", "entropy", true),
    ...(has("similarity") ? [order("unlike its class", "similarity", false)] : []),
  ];
}

/** All other numbers, each from its largest. */
export function otherOrders(about: About): Order[] {
  const usual = new Set(usualOrders(about).map((one) => one.sort));
  return about.numbers.filter((name) => !usual.has(name)).map((name) => order(name, name, true));
}
