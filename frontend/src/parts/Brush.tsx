/** What was brushed, and what the model says without it. */

import * as brushing from "../engine/brushing";
import * as drawing from "../state/drawing";
import { photo } from "../state/given";
import { heat } from "../state/heats";
import { maps } from "../state/shown";
import { tool } from "../state/tool";
import { UndoButtons, WhatIsSaid } from "./Altering";
import { Choices } from "./Choices";
import { Slider } from "./Slider";

const HALF = 0.5;

export function Brush() {
  const { strokes, undone, undo, redo, clear } = brushing;
  const [first] = maps.value;
  if (tool.value !== "brush" && !strokes.value.length) return null;
  const threshold = drawing.threshold.value || HALF;
  return (
    <section aria-labelledby="brush" class="brush">
      <h2 id="brush">Brush</h2>
      <p class="quiet">Paint on the picture, or point by arrow keys and press Enter, and see what the model says of the rest.</p>
      <Choices
        name="What happens to what is brushed"
        value={brushing.does.value}
        of={{ hide: "hide it", keep: "keep it alone" }}
        choose={(does) => (brushing.does.value = does)}
      />
      <Choices
        name="What is put in its place"
        value={brushing.fill.value}
        of={{ blur: "blurred", mean: photo.value?.axes ? "mean" : "mean colour" }}
        choose={(fill) => (brushing.fill.value = fill)}
      />
      <Slider name="Size" of={brushing.radius} min={0.01} max={0.25} />
      <UndoButtons
        {...{ undo, redo, clear }}
        canUndo={strokes.value.length > 0}
        canRedo={undone.value.length > 0}
        canClear={strokes.value.length > 0}
      />
      {first && (
        <button
          class="wide"
          onClick={() =>
            brushing.brushAbove(heat(first.view, first.photo, first.map, drawing.scale.value), threshold)
          }
        >
          brush what the map shows above {Math.round(100 * threshold)} %
        </button>
      )}
      <WhatIsSaid of={brushing} what="input" />
    </section>
  );
}
