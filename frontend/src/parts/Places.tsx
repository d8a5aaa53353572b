/** Where a detector found something, and the regions of a segmenter. */

import { clear, brushed, maskOf } from "../engine/brushing";
import { placeTarget } from "../engine/explaining";
import * as facts from "../engine/facts";
import * as shown from "../state/shown";
import { tool } from "../state/tool";
import { Bar, percent } from "./Bar";
import { useRoving } from "./roving";

const isShown = (one: { target: string; number: number }) =>
  shown.shown.value.some((other) => other.target === one.target || other.target === one.number);

export function Places() {
  const places = facts.places.value;
  const instances = places?.kind === "instances" ? places.instances : [];
  const roving = useRoving(
    instances.map((one) => one.target),
    instances.find((one) => isShown(one))?.target,
  );
  if (!places || places.kind === "none") return null;
  return (
    <section aria-labelledby="places">
      <h2 id="places">{places.kind === "instances" ? "What it found" : "Regions"}</h2>
      {places.kind === "instances" && (
        <ul class="choices found" aria-label="Instances: arrow keys go through them" {...roving.list}>
          {instances.map((one) => (
            <li key={one.target}>
              <button
                class="main"
                aria-pressed={isShown(one)}
                {...roving.button(one.target)}
                onClick={(event) => shown.showTarget(one.target, shown.adds(event))}
              >
                <span>
                  {one.number + 1}. {one.name}
                </span>
                <Bar share={one.probability} words={one.probability === null ? "" : percent(one.probability)} />
              </button>
            </li>
          ))}
        </ul>
      )}
      {places.kind === "instances" && !places.instances.length && <p class="quiet">It found nothing in this photo.</p>}
      {places.kind === "regions" && (
        <ul class="choices">
          {places.regions.map((one) => (
            <li key={one.target}>
              <button
                class="main"
                aria-pressed={shown.shown.value.some((other) => other.target === one.target)}
                onClick={(event) => shown.showTarget(one.target, shown.adds(event))}
              >
                <span>{one.name}</span>
                <Bar share={one.share} words={percent(one.share)} />
              </button>
            </li>
          ))}
        </ul>
      )}
      {places.kind === "instances" && (
        <p class="quiet">
          Or <button class="link" onClick={() => (tool.value = "box")}>draw a box</button> (by arrow keys and Enter, too):
          the detection that fits it best is explained.
        </p>
      )}
      {places.kind === "regions" &&
        (brushed.value ? (
          <button
            class="wide"
            onClick={(event) => {
              shown.showTarget(placeTarget({ region: maskOf(brushed.value!) }), shown.adds(event));
              clear();
            }}
          >
            explain the brushed region
          </button>
        ) : (
          <p class="quiet">
            Or <button class="link" onClick={() => (tool.value = "brush")}>brush a region</button> to explain it.
          </p>
        ))}
    </section>
  );
}
