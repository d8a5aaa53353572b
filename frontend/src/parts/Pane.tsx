/** One map over the photo. All panes share one cursor and one zoom. */

import { useEffect, useRef } from "preact/hooks";

import { paint, type Table } from "../maps/colours";
import { above, type Heat } from "../maps/levels";
import { cellAt } from "../maps/place";
import { threshold as chosenThreshold } from "../state/drawing";
import { valueAt } from "../state/heats";
import { cursor, WHOLE, zoom } from "../state/pointer";
import { swipe } from "../state/shown";
import type { Pair, Photo, RawMap } from "../view";

interface Props {
  photo: Photo;
  heat: Heat;
  table: Table;
  title: string;
  detail: string;
  note?: string;
  map?: RawMap;
  signed: boolean;
  /** A second heat that is shown on the right of the divider. */
  beside?: { heat: Heat; title: string };
}

const percent = (share: number, digits = 0) => `${(100 * share).toFixed(digits)} %`;

export function Pane({ photo, heat, table, title, detail, note, map, signed, beside }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const second = useRef<HTMLCanvasElement>(null);
  const threshold = chosenThreshold.value;
  useEffect(() => {
    if (canvas.current) paint(canvas.current, heat, table);
  }, [heat, table]);
  useEffect(() => {
    if (second.current && beside) paint(second.current, beside.heat, table);
  }, [beside?.heat, table]);
  const left = signed || threshold === 0 ? null : above(heat, threshold);
  const { factor, y, x } = zoom.value;
  const moved = `scale(${factor}) translate(${(0.5 - x) * 100}%, ${(0.5 - y) * 100}%)`;
  return (
    <figure class="pane">
      <figcaption>
        <strong title={title}>{title}</strong>
        <span>{detail}</span>
      </figcaption>
      <div
        class="picture"
        style={{ aspectRatio: `${heat.width} / ${heat.height}` }}
        onPointerMove={(event) => (cursor.value = shareAt(event))}
        onPointerLeave={() => (cursor.value = null)}
        onWheel={zoomed}
        onDblClick={() => (zoom.value = WHOLE)}
      >
        <div class="moved" style={{ transform: moved }}>
          <img src={photo.picture} alt={`${photo.name}, the photo below the map`} draggable={false} />
          <canvas
            ref={canvas}
            style={beside ? { clipPath: `inset(0 ${percent(1 - swipe.value, 2).replace(" ", "")} 0 0)` } : {}}
          />
          {beside && (
            <canvas
              ref={second}
              style={{ clipPath: `inset(0 0 0 ${percent(swipe.value, 2).replace(" ", "")})` }}
            />
          )}
          {beside && <div class="divider" style={{ left: `${100 * swipe.value}%` }} />}
          <Cursor />
        </div>
      </div>
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
      <p class="reading">
        <Reading heat={heat} map={map} photo={photo} signed={signed} />
        {left && (
          <span>
            shown: {percent(left.area)} of the area, {percent(left.mass)} of the mass
          </span>
        )}
      </p>
      {note && <p class="warning">{note}</p>}
    </figure>
  );
}

function Cursor() {
  const at = cursor.value;
  return at && <div class="cursor" style={{ top: `${100 * at[0]}%`, left: `${100 * at[1]}%` }} />;
}

function Reading({ heat, map, photo, signed }: Pick<Props, "heat" | "photo" | "signed"> & { map: RawMap | undefined }) {
  const at = cursor.value;
  if (!at) return <span class="quiet">point at the picture for its value</span>;
  const value = valueAt(heat, at, signed);
  if (value === null) return <span>not seen by the model</span>;
  const cell = map && cellAt(at[0] * heat.height, at[1] * heat.width, map.shape, photo.geometry);
  return (
    <span>
      <b>{value.toFixed(2)}</b>
      {cell && ` in cell ${cell[0]}, ${cell[1]} of ${map.shape[0]}×${map.shape[1]}`}
    </span>
  );
}

/** Where the pointer is on the picture, as shares; the zoom is taken off. */
function shareAt(event: PointerEvent | WheelEvent): Pair {
  const picture = (event.currentTarget as HTMLElement).querySelector("img")!.getBoundingClientRect();
  const clip = (value: number) => Math.min(Math.max(value, 0), 0.999999);
  return [
    clip((event.clientY - picture.top) / picture.height),
    clip((event.clientX - picture.left) / picture.width),
  ];
}

function zoomed(event: WheelEvent): void {
  if (!event.ctrlKey && !event.altKey) return; // the page scrolls
  event.preventDefault();
  const now = zoom.value;
  const at = shareAt(event);
  const factor = Math.min(Math.max(now.factor * Math.exp(-event.deltaY / 300), 1), 12);
  if (factor === 1) {
    zoom.value = WHOLE;
    return;
  }
  // what is below the pointer stays there
  const share = now.factor / factor;
  zoom.value = { factor, y: at[0] + (now.y - at[0]) * share, x: at[1] + (now.x - at[1]) * share };
}
