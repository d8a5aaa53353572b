/** What was left out of a text, and what the model says without it. */

import { does } from "../engine/brushing";
import { Change } from "../parts/Change";
import { Choices } from "../parts/Choices";
import * as leaving from "./leavingOut";

export function WordBrush() {
  const { altered, problem, measuring, leftOut } = leaving;
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
      <div class="segments">
        <button onClick={leaving.undo} disabled={!leaving.canUndo.value}>
          undo
        </button>
        <button onClick={leaving.redo} disabled={!leaving.canRedo.value}>
          redo
        </button>
        <button onClick={leaving.clear} disabled={!leftOut.value.size}>
          clear
        </button>
      </div>
      {problem.value && <p class="warning">{problem.value}</p>}
      <div aria-live="polite" class={measuring.value ? "measuring" : ""}>
        {altered.value && <Change of={altered.value} what="text" />}
      </div>
    </section>
  );
}
