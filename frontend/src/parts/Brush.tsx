/** What was brushed, and what the model says without it. */

import type { Altered, Said } from "../engine/api";
import * as brushing from "../engine/brushing";
import { shortName } from "../engine/pointing";
import * as drawing from "../state/drawing";
import { heat } from "../state/heats";
import { maps } from "../state/shown";
import { tool } from "../state/tool";
import type { Scored } from "../view";
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

interface ChangeRow {
  name: string;
  before: Said | null;
  after: Said | null;
}

const MOST_ROWS = 7;

/** What is shown first, then what the model said and says. */
function rowsOf({ targets, top }: Altered): ChangeRow[] {
  const saidOf = (one: Scored | undefined) => one && { score: one.logit, probability: one.probability };
  const shown = new Set(targets.map((one) => one.index));
  const others = new Map([...top.before, ...top.after].map((one) => [one.index, one.name]));
  return [
    ...targets.map((one) => ({ name: one.title, before: one.before, after: one.after })),
    ...[...others]
      .filter(([index]) => !shown.has(index))
      .map(([index, name]) => ({
        name: shortName(name),
        before: saidOf(top.before.find((one) => one.index === index)) ?? null,
        after: saidOf(top.after.find((one) => one.index === index)) ?? null,
      })),
  ].slice(0, MOST_ROWS);
}

function Change({ of }: { of: Altered }) {
  const before = of.top.before[0];
  const after = of.top.after[0];
  return (
    <>
      <p class="said">
        {Math.round(100 * of.removed)} % of the input is gone.{" "}
        {before && after && `${before.index === after.index ? "It still says" : "Now it says"} ${shortName(after.name)}.`}
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
          {rowsOf(of).map((row) => (
            <tr key={row.name}>
              <th scope="row">{row.name}</th>
              {[row.before, row.after].map((one, i) => (
                <td key={i}>
                  {one ? <Bar share={one.probability} words={inWords(one.probability, one.score)} /> : "–"}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
