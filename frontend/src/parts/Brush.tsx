/** What was brushed, and what the model says without it. */

import * as brushing from "../engine/brushing";
import * as drawing from "../state/drawing";
import { photo } from "../state/given";
import { heat } from "../state/heats";
import { maps } from "../state/shown";
import { tool } from "../state/tool";
import { Change } from "./Change";
import { Choices } from "./Choices";
import { Slider } from "./Slider";

const HALF = 0.5;

export function Brush() {
  const { strokes, undone, altered, problem } = brushing;
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
      <div class="segments">
        <button onClick={brushing.undo} disabled={!strokes.value.length}>
          undo
        </button>
        <button onClick={brushing.redo} disabled={!undone.value.length}>
          redo
        </button>
        <button onClick={brushing.clear} disabled={!strokes.value.length}>
          clear
        </button>
      </div>
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
      {problem.value && <p class="warning">{problem.value}</p>}
      <div aria-live="polite" class={brushing.measuring.value ? "measuring" : ""}>
        {altered.value && <Change of={altered.value} what="input" />}
      </div>
    </section>
  );
}
