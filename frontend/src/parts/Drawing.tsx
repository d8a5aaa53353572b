/** How maps are drawn, and beside one another how. */

import * as drawing from "../state/drawing";
import { view } from "../state/given";
import * as shown from "../state/shown";
import { Choices } from "./Choices";
import { Slider } from "./Slider";

export function Drawing() {
  const maps = view.value.colormaps.filter((one) => one.signed === drawing.signedColours.value);
  return (
    <section aria-labelledby="drawing">
      <h2 id="drawing">Drawing</h2>
      {shown.shown.value.length > 1 && (
        <Choices
          name="How maps are compared"
          value={shown.mode.value}
          of={{ side: "side by side", swipe: "swipe", difference: "difference" }}
          choose={(mode) => (shown.mode.value = mode)}
        />
      )}
      <Slider name="Opacity" of={drawing.opacity} />
      <Slider name="Hide below" of={drawing.threshold} />
      <label class="row">
        Scale
        <select
          value={drawing.scale.value}
          onChange={(event) => (drawing.scale.value = event.currentTarget.value as drawing.ScaleName)}
        >
          <option value="map">each map</option>
          <option value="photo">this photo</option>
          <option value="all">all photos</option>
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
              {one.name === "jet" && " (not perceptual)"}
            </option>
          ))}
        </select>
      </label>
      <details>
        <summary>Keys</summary>
        <dl class="keys">
          <dt>space</dt>
          <dd>hold it for the photo alone</dd>
          <dt>arrows</dt>
          <dd>on a picture: from cell to cell; with Shift in small steps</dd>
          <dt>Enter</dt>
          <dd>there: brushes, or sets a corner of a box</dd>
          <dt>j, k</dt>
          <dd>next photo, photo before</dd>
          <dt>[ and ]</dt>
          <dd>layer before, next layer</dd>
          <dt>+, −, 0</dt>
          <dd>zoom in, out, all; or Ctrl and the wheel</dd>
          <dt>b, l</dt>
          <dd>brush, look</dd>
          <dt>Ctrl Z</dt>
          <dd>takes the last stroke back</dd>
        </dl>
      </details>
    </section>
  );
}
