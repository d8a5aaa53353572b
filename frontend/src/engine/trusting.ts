/** Whether a map can be trusted: asked for, followed while probes arrive, given up. */

import { signal } from "@preact/signals";

import { wordsOf, type Found } from "../state/shown";
import * as api from "./api";
import { Refusal, sentenceOf } from "./client";
import { keyOf } from "./explaining";
import { engine } from "./models";

export type Trusted =
  | { stage: "running"; progress: api.Progress | null; stop: () => void }
  | { stage: "done"; verdict: api.Verdict }
  | { stage: "stopped" }
  | { stage: "refused"; why: string };

/** What is known of each map, by its key. */
export const trusted = signal<ReadonlyMap<string, Trusted>>(new Map());

/** A map that can be judged: by what it is known, and what is asked; null where its target has no words. */
export interface ToJudge {
  key: string;
  asked: Parameters<typeof api.trust>[0] | null;
  /** What is hidden of. */
  what: "photo" | "sound" | "text";
}

/** A map of a photo. */
export function mapToJudge({ one, photo, target }: Found): ToJudge {
  const named = wordsOf(target);
  const model = engine.value?.models[one.model];
  return {
    key: keyOf(photo.id ?? photo.name, { ...one, target: named ?? one.target }),
    asked: model && photo.id && named ? { model: model.id, photo: photo.id, method: one.method, layer: one.layer, target: named } : null,
    what: photo.axes ? "sound" : "photo",
  };
}

function note(key: string, what: Trusted): void {
  trusted.value = new Map(trusted.value).set(key, what);
}

/** Judge a map; the verdict comes with its bar, and its progress before. */
export async function judge({ key, asked }: ToJudge): Promise<void> {
  if (!asked) return;
  const control = new AbortController();
  const stop = () => control.abort();
  note(key, { stage: "running", progress: null, stop });
  try {
    for await (const { event, data } of api.trust(asked, control.signal)) {
      if (event === "progress") note(key, { stage: "running", progress: data as api.Progress, stop });
      if (event === "verdict") note(key, { stage: "done", verdict: (data as { rows: api.Verdict[] }).rows[0]! });
      if (event === "error") throw new Refusal((data as { error: string }).error, "", 200);
    }
    if (trusted.value.get(key)?.stage === "running")
      note(key, { stage: "refused", why: "The engine stopped before it had a verdict. Ask once more." });
  } catch (error) {
    note(key, control.signal.aborted ? { stage: "stopped" } : { stage: "refused", why: sentenceOf(error) });
  }
}
