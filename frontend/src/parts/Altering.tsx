/** What the brushes of photos and of texts have in common: the way back, and what the model says of the rest. */

import type { ReadonlySignal } from "@preact/signals";

import type { Altered } from "../engine/api";
import { Change } from "./Change";

interface Steps {
  undo: () => void;
  redo: () => void;
  clear: () => void;
  canUndo: boolean;
  canRedo: boolean;
  canClear: boolean;
}

export function UndoButtons({ undo, redo, clear, canUndo, canRedo, canClear }: Steps) {
  return (
    <div class="segments">
      <button onClick={undo} disabled={!canUndo}>
        undo
      </button>
      <button onClick={redo} disabled={!canRedo}>
        redo
      </button>
      <button onClick={clear} disabled={!canClear}>
        clear
      </button>
    </div>
  );
}

interface Measured {
  altered: ReadonlySignal<Altered | null>;
  problem: ReadonlySignal<string | null>;
  measuring: ReadonlySignal<boolean>;
}

/** @param what the input is called, of which a part is gone. */
export function WhatIsSaid({ of: { altered, problem, measuring }, what }: { of: Measured; what: string }) {
  return (
    <>
      {problem.value && <p class="warning">{problem.value}</p>}
      <div aria-live="polite" class={measuring.value ? "measuring" : ""}>
        {altered.value && <Change of={altered.value} what={what} />}
      </div>
    </>
  );
}
