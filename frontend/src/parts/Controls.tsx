/** What is explained, by which method at which layer, and how it is drawn. */

import { command, pythonLines } from "../commands";
import { saveMaps, savePicture } from "../saving";
import * as drawing from "../state/drawing";
import * as given from "../state/given";
import * as shown from "../state/shown";

export function Controls() {
  const photo = given.photo.value;
  if (!photo) return null;
  return (
    <aside class="controls" aria-label="What is shown">
      <Classes />
      <Methods />
      <Drawing />
      <Share />
    </aside>
  );
}

/** A click shows one map; with Shift, Ctrl or Command it is shown beside the others. */
const beside = (event: MouseEvent) => event.shiftKey || event.ctrlKey || event.metaKey;

function Classes() {
  const photo = given.photo.value!;
  const now = shown.shown.value;
  const last = now[now.length - 1]!;
  return (
    <section>
      <h2>Explained</h2>
      <p class="quiet">Shift-click compares.</p>
      <ul class="choices">
        {photo.targets.map((target, number) => (
          <li key={number}>
            <button
              aria-pressed={now.some((one) => shown.targetNumber(photo, one.target) === number)}
              onClick={(event) => shown.show({ ...last, target: number }, beside(event))}
            >
              <span>{target.title}</span>
              <Bar share={target.probability} words={target.probability === null ? target.score.toPrecision(3) : null} />
            </button>
          </li>
        ))}
      </ul>
      <h3>What the model says</h3>
      <ol class="top">
        {photo.top.map((one) => (
          <li key={one.index}>
            <span>{one.name}</span>
            <Bar share={one.probability} words={one.probability === null ? one.logit.toPrecision(3) : null} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function Bar({ share, words }: { share: number | null; words: string | null }) {
  return (
    <span class="bar">
      {share !== null && <i style={{ width: `${100 * share}%` }} />}
      <em>{words ?? `${(100 * share!).toFixed(1)} %`}</em>
    </span>
  );
}

function Methods() {
  const { keys, methods } = given.view.value;
  const now = shown.shown.value;
  const last = now[now.length - 1]!;
  const severalLayers = new Set(keys.map((key) => key.layer)).size > 1;
  const about = methods.find((one) => one.name === last.method);
  return (
    <section>
      <h2>{severalLayers ? "Method and layer" : "Method"}</h2>
      <ul class="choices">
        {keys.map((key) => (
          <li key={`${key.method} ${key.layer}`}>
            <button
              aria-pressed={now.some((one) => one.method === key.method && one.layer === key.layer)}
              onClick={(event) =>
                shown.show({ ...last, method: key.method, layer: key.layer }, beside(event))
              }
            >
              <span>{key.method}</span>
              <small>{key.layer}</small>
            </button>
          </li>
        ))}
      </ul>
      {about && (
        <p class="quiet">
          {about.advice} <cite>{about.paper}</cite>
        </p>
      )}
    </section>
  );
}

function Drawing() {
  const maps = given.view.value.colormaps.filter((one) => one.signed === drawing.signedColours.value);
  return (
    <section>
      <h2>Drawing</h2>
      {shown.shown.value.length > 1 && (
        <div class="segments" role="group" aria-label="How maps are compared">
          {(["side", "swipe", "difference"] as const).map((mode) => (
            <button key={mode} aria-pressed={shown.mode.value === mode} onClick={() => (shown.mode.value = mode)}>
              {{ side: "side by side", swipe: "swipe", difference: "difference" }[mode]}
            </button>
          ))}
        </div>
      )}
      <Slider name="Opacity" of={drawing.opacity} />
      <Slider name="Hide below" of={drawing.threshold} />
      <label class="row">
        Scale
        <select
          value={drawing.scale.value}
          onChange={(event) => (drawing.scale.value = event.currentTarget.value as drawing.ScaleName)}
        >
          <option value="map">each map by itself</option>
          <option value="photo">one for this photo's targets</option>
          <option value="all">one for all photos</option>
          <option value="signed">for and against</option>
        </select>
      </label>
      <label class="row">
        Colours
        <select
          value={maps.some((one) => one.name === drawing.colormap.value) ? drawing.colormap.value : maps[0]?.name}
          onChange={(event) => (drawing.colormap.value = event.currentTarget.value)}
        >
          {maps.map((one) => (
            <option key={one.name} value={one.name}>
              {one.name}
            </option>
          ))}
        </select>
      </label>
      <p class="quiet">Hold the space bar for the photo. Ctrl and the wheel zoom, a double click goes back.</p>
    </section>
  );
}

function Slider({ name, of }: { name: string; of: typeof drawing.opacity }) {
  return (
    <label class="row">
      {name}
      <input
        type="range"
        min="0"
        max="1"
        step="0.01"
        value={of.value}
        onInput={(event) => (of.value = event.currentTarget.valueAsNumber)}
      />
      <output>{Math.round(100 * of.value)} %</output>
    </label>
  );
}

function Share() {
  const photo = given.photo.value!;
  const view = given.view.value;
  const lines = pythonLines(view, photo, shown.shown.value);
  const words = command(view, photo, shown.shown.value);
  return (
    <section>
      <h2>Share</h2>
      <div class="segments">
        <button onClick={() => savePicture()}>PNG</button>
        <button onClick={() => saveMaps()}>JSON</button>
        <button onClick={() => navigator.clipboard.writeText(location.href)}>copy the link</button>
      </div>
      <details>
        <summary>The lines that make this</summary>
        <pre>{lines}</pre>
        {view.spec && <pre>{words}</pre>}
      </details>
      <p class="quiet">{view.versions}</p>
    </section>
  );
}
