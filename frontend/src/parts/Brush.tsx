/** What was brushed, and what the model says without it. */

import * as brushing from "../engine/brushing";
import { shortName } from "../engine/pointing";
import * as drawing from "../state/drawing";
import { heat } from "../state/heats";
import { maps } from "../state/shown";
import { tool } from "../state/tool";
import { Bar, inWords } from "./Bar";
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
      <p class="quiet">Paint on the picture and see what the model says of the rest.</p>
      <Choices
        name="What happens to what is brushed"
        value={brushing.does.value}
        of={{ hide: "hide it", keep: "keep it alone" }}
        choose={(does) => (brushing.does.value = does)}
      />
      <Choices
        name="What is put in its place"
        value={brushing.fill.value}
        of={{ blur: "blurred", mean: "mean colour" }}
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
        {altered.value && <Change of={altered.value} />}
      </div>
    </section>
  );
}

function Change({ of }: { of: NonNullable<typeof brushing.altered.value> }) {
  const before = of.top.before[0];
  const after = of.top.after[0];
  const names = [...of.top.before, ...of.top.after].map((one) => one.name);
  const rows = [...new Set(names)].slice(0, 6).map((name) => ({
    name,
    before: of.top.before.find((one) => one.name === name),
    after: of.top.after.find((one) => one.name === name),
  }));
  return (
    <>
      <p class="said">
        {Math.round(100 * of.removed)} % of the input is gone.{" "}
        {before && after && (before.index === after.index ? `It still says ${shortName(after.name)}.` : `Now it says ${shortName(after.name)}.`)}
      </p>
      <table class="change">
        <thead>
          <tr>
            <th scope="col">class</th>
            <th scope="col">before</th>
            <th scope="col">now</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name}>
              <th scope="row" title={row.name}>{shortName(row.name)}</th>
              {[row.before, row.after].map((one, i) => (
                <td key={i}>
                  {one ? <Bar share={one.probability} words={inWords(one.probability, one.logit)} /> : "–"}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
