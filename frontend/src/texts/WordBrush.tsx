/** What was left out of a text, and what the model says without it. */

import { does } from "../engine/brushing";
import { UndoButtons, WhatIsSaid } from "../parts/Altering";
import { Choices } from "../parts/Choices";
import * as leaving from "./leavingOut";

export function WordBrush() {
  const { undo, redo, clear } = leaving;
  return (
    <section aria-labelledby="brush" class="brush">
      <h2 id="brush">Leave words out</h2>
      <p class="quiet">Click words, or drag over them, and see what the model says of the rest.</p>
      <Choices
        name="What happens to these words"
        value={does.value}
        of={{ hide: "leave out", keep: "keep alone" }}
        choose={(one) => (does.value = one)}
      />
      <UndoButtons
        {...{ undo, redo, clear }}
        canUndo={leaving.canUndo.value}
        canRedo={leaving.canRedo.value}
        canClear={leaving.leftOut.value.size > 0}
      />
      <WhatIsSaid of={leaving} what="text" />
    </section>
  );
}
