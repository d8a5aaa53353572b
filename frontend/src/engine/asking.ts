/** Questions that change while they are answered: asked a moment later, and given up where another takes their place. */

import { batch, effect, signal } from "@preact/signals";

import type { Altered } from "./api";
import { isOver, sentenceOf } from "./client";

/** Begin something a moment later. What is given back gives it up, whether it has begun or not. */
export function soon(begin: (signal: AbortSignal) => unknown, delay: number): () => void {
  const control = new AbortController();
  const timer = setTimeout(() => void begin(control.signal), delay);
  return () => {
    clearTimeout(timer);
    control.abort();
  };
}

const DELAY = 70;

/**
 * What the model says of an altered input, asked anew whenever it is altered otherwise; the latest wins.
 *
 * @param wish what is to be asked; null where nothing is altered.
 * @param ask asks it.
 */
export function measuredWhenever<Wish>(wish: () => Wish | null, ask: (wish: Wish, signal: AbortSignal) => Promise<Altered>) {
  const altered = signal<Altered | null>(null);
  const problem = signal<string | null>(null);
  const measuring = signal(false);

  const say = (said: Altered | null, why: string | null) =>
    batch(() => {
      altered.value = said;
      problem.value = why;
      measuring.value = false;
    });

  /** Measure from now on. */
  const follow = () =>
    effect(() => {
      const asked = wish();
      if (asked === null) return say(null, null);
      measuring.value = true;
      return soon(async (signal) => {
        try {
          const said = await ask(asked, signal);
          if (!signal.aborted) say(said, null);
        } catch (error) {
          if (!signal.aborted && !isOver(error)) say(null, sentenceOf(error));
        }
      }, DELAY);
    });

  return { altered, problem, measuring, follow };
}
