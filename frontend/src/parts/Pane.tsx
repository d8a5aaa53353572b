/** One map over the photo. All panes share one cursor and one zoom. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { speechOf } from "../engine/pointing";
import { paint, type Table } from "../maps/colours";
import { above, type Heat } from "../maps/levels";
import { cellAt } from "../maps/place";
import { threshold as chosenThreshold } from "../state/drawing";
import { valueAt } from "../state/heats";
import { cursor, zoom } from "../state/pointer";
import { swipe, type Found } from "../state/shown";
import { drawn, tool } from "../state/tool";
import type { Axes, Pair } from "../view";
import { percent } from "./Bar";
import { BrushedLayer, DrawnBox, FoundBoxes, Pointer } from "./Layers";
import { pointByKey, pointed } from "./pointed";

/** What Enter does with each tool. */
const ENTER = { look: "", brush: ", Enter brushes there", box: ", Enter sets a corner of the box, then the one across" };

interface Props {
  of: Found;
  /** What is drawn; null while it is not there. */
  heat: Heat | null;
  table: Table;
  title: string;
  detail: string;
  signed: boolean;
  /** What stands over the picture in place of a heat. */
  meanwhile?: ComponentChildren;
  /** A second heat that is shown on the right of the divider. */
  beside?: { heat: Heat; title: string };
  /** Whether the heat is that of the map, so that its cells can be named. */
  ofMap: boolean;
  remove?: () => void;
}

export function Pane({ of, heat, table, title, detail, signed, meanwhile, beside, ofMap, remove }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const second = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    if (canvas.current && heat) paint(canvas.current, heat, table);
  }, [heat, table]);
  useLayoutEffect(() => {
    if (second.current && beside) paint(second.current, beside.heat, table);
  }, [beside?.heat, table]);
  const { photo, map } = of;
  const [height, width] = photo.geometry.photo_size;
  const { factor, y, x } = zoom.value;
  const moved = `scale(${factor}) translate(${(0.5 - x) * 100}%, ${(0.5 - y) * 100}%)`;
  const clip = (sides: string) => ({ clipPath: `inset(${sides})` });
  const split = percent(swipe.value, 2).replace(" ", "");
  const rest = percent(1 - swipe.value, 2).replace(" ", "");
  return (
    <figure class="pane" style={{ "--aspect": `${width / height}` }}>
      <figcaption>
        <strong title={title}>{title}</strong>
        <span>{detail}</span>
        {remove && (
          <button class="remove" aria-label={`take ${title} ${detail} away`} title="take this map away" onClick={remove}>
            ×
          </button>
        )}
      </figcaption>
      <div
        class={`picture tool-${beside && tool.value === "look" ? "swipe" : tool.value}`}
        style={{ aspectRatio: `${width} / ${height}` }}
        tabIndex={0}
        role="group"
        aria-label={`${title} ${detail}: arrow keys point at the cells${ENTER[tool.value]}`}
        {...pointed(beside !== undefined)}
        onKeyDown={(event) => pointByKey(event, map?.shape ?? [10, 10], photo.geometry)}
        onBlur={() => (cursor.value = null)}
      >
        <div class="moved" style={{ transform: moved }}>
          <img class={heat ? "" : "waiting"} src={photo.picture} alt={`${photo.name}, the photo below the map`} draggable={false} />
          <canvas ref={canvas} class={heat ? "" : "before"} style={beside ? clip(`0 ${rest} 0 0`) : {}} />
          {beside && <canvas ref={second} style={clip(`0 0 0 ${split}`)} />}
          <FoundBoxes of={of} />
          <BrushedLayer />
          <DrawnBox />
          {beside && <div class="divider" style={{ left: split }} />}
          <Pointer aspect={width / height} />
        </div>
        {meanwhile}
      </div>
      {photo.axes && (
        <p class="time-axis">
          <span>{timeOf(photo.axes, 0)}</span>
          <span>{timeOf(photo.axes, 1)}</span>
        </p>
      )}
      {beside && (
        <input
          class="swipe"
          type="range"
          min="0"
          max="1"
          step="0.005"
          value={swipe.value}
          aria-label={`How much of ${title} is shown beside ${beside.title}`}
          onInput={(event) => (swipe.value = event.currentTarget.valueAsNumber)}
        />
      )}
      {heat && <Reading heat={heat} of={of} signed={signed} ofMap={ofMap} />}
      {ofMap && map?.note && <p class="warning">{map.note}</p>}
    </figure>
  );
}

type ReadingProps = Pick<Props, "of" | "signed" | "ofMap"> & { heat: Heat };

function Reading({ heat, of, signed, ofMap }: ReadingProps) {
  const threshold = chosenThreshold.value;
  const left = signed || threshold === 0 ? null : above(heat, threshold);
  return (
    <p class="reading" aria-live="polite">
      <BelowPointer heat={heat} of={of} signed={signed} ofMap={ofMap} />
      {left && (
        <span>
          shown: {percent(left.area, 0)} of the area, {percent(left.mass, 0)} of the mass
        </span>
      )}
    </p>
  );
}

function BelowPointer({ heat, of, signed, ofMap }: ReadingProps) {
  const at = cursor.value;
  if (!at) return <span class="quiet">point at the picture for its value</span>;
  if (drawn.value) return <span>a corner is set; Enter sets the one across, Escape lets go</span>;
  const value = valueAt(heat, at, signed);
  if (value === null) return <span>not seen by the model</span>;
  const { map, photo } = of;
  const cell = ofMap && map ? cellAt(at[0] * heat.height, at[1] * heat.width, map.shape, photo.geometry) : null;
  const speaks = cell && map ? speechOf(of, map.layer, cell) : "";
  return (
    <span>
      <b>{value.toFixed(2)}</b>
      {photo.axes ? placeIn(photo.axes, at) : cell && ` in cell ${cell[0]}, ${cell[1]} of ${map!.shape[0]}×${map!.shape[1]}`}
      {speaks && <em class="speaks"> {speaks}</em>}
    </span>
  );
}

/** When (and at which frequency) a point of a sound's picture is. */
function placeIn(axes: Axes, [down, across]: Pair): string {
  const { frequency, frequency_unit } = axes;
  const words = ` at ${timeOf(axes, across)}`;
  if (!frequency) return words;
  const height = frequency[1] - down * (frequency[1] - frequency[0]);
  return `${words}, ${height.toPrecision(2)} ${frequency_unit}`;
}

function timeOf({ time, unit }: Axes, share: number): string {
  const when = time[0] + share * (time[1] - time[0]);
  return unit === "s" ? `${when.toFixed(2)} s` : `step ${Math.floor(when)}`;
}
