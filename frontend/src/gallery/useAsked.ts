/** An answer of the server that is asked for anew when what it depends on changes; the one before is then given up. */

import { useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { isOver, sentenceOf } from "../engine/client";

export interface Asked<T> {
  found: Signal<T | null>;
  error: Signal<string>;
}

export function useAsked<T>(ask: (stop: AbortSignal) => Promise<T>, on: readonly unknown[]): Asked<T> {
  const found = useSignal<T | null>(null);
  const error = useSignal("");
  useEffect(() => {
    const stop = new AbortController();
    found.value = null;
    error.value = "";
    ask(stop.signal)
      .then((answer) => (found.value = answer))
      .catch((reason: unknown) => {
        if (!isOver(reason)) error.value = sentenceOf(reason);
      });
    return () => stop.abort();
  }, [...on]);
  return { found, error };
}
