/** What the model looked at in many photos, as points; those that are drawn around are shown beside them. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { Bare } from "./Bare";
import type { Gallery } from "./gallery";
import { Grid } from "./Grid";
import { GROUPS, inside, ticks, type Line } from "./lasso";
import { between, moved, type At } from "./plotKeys";
import * as rows from "./rows";
import type { About, Card, Key, Points } from "./rows";
import { useAsked } from "./useAsked";

const MAPS = ["maps-1", "maps-2"];
const EDGE = { left: 46, right: 12, top: 12, bottom: 34 };
const NEAR = 8;
const OTHERS = "others";

/** Points whose classes are numbered, the most frequent first; −1 are all others. */
interface Grouped extends Omit<Points, "points"> {
  names: string[];
  points: Omit<Points["points"], "colour"> & { group: number[]; wrong: boolean[] };
}

function grouped(found: Points): Grouped {
  const { colour, ...points } = found.points;
  const counts = new Map<string, number>();
  for (const { of } of colour) if (of !== null) counts.set(of, (counts.get(of) ?? 0) + 1);
  const names = [...counts.keys()].sort((a, b) => counts.get(b)! - counts.get(a)!).slice(0, GROUPS.length);
  const group = colour.map(({ of }) => (of === null ? -1 : names.indexOf(of)));
  return { ...found, names, points: { ...points, group, wrong: colour.map(({ wrong }) => wrong === true) } };
}

const named = (axis: string) =>
  axis === "maps-1" ? "pattern of the map, 1" : axis === "maps-2" ? "pattern of the map, 2" : axis.replaceAll("_", " ");

export function Scatter({ gallery, about, open }: { gallery: Gallery; about: About; open: (card: Card) => void }) {
  const x = useSignal("maps-1");
  const y = useSignal("maps-2");
  const where = gallery.condition.value;
  const { found, error } = useAsked(
    async (stop) => grouped(await rows.points(gallery.run, x.value, y.value, where, about.labelled, stop)),
    [x.value, y.value, where, about.rows],
  );
  const axes = [...MAPS, ...about.numbers];
  const chosen = gallery.among.value;
  return (
    <div class="scatter">
      <div class="scatter-left">
        <div class="rows-tools">
          {[x, y].map((axis, number) => (
            <label key={number}>
              {number ? "Upward" : "Across"}
              <select value={axis.value} onChange={(event) => (axis.value = event.currentTarget.value)}>
                {axes.map((one) => (
                  <option key={one} value={one}>
                    {named(one)}
                  </option>
                ))}
              </select>
            </label>
          ))}
        </div>
        {error.value && (
          <p class="warning" role="alert">
            {error.value}
          </p>
        )}
        {!found.value && !error.value && <p class="quiet">comparing the maps …</p>}
        {found.value && <Plot points={found.value} gallery={gallery} />}
        {found.value && <Groups points={found.value} gallery={gallery} />}
        {found.value && <Explained points={found.value} />}
      </div>
      <section class="scatter-right" aria-label="The rows that were chosen">
        {!chosen && <p class="quiet hint">Draw around points, or choose a class below them: their photos come here.</p>}
        {chosen && (
          <div class="segments">
            <span class="quiet">{chosen.length.toLocaleString("en")} chosen</span>
            <button onClick={() => (gallery.tab.value = "photos")}>show them as photos</button>
            <button onClick={() => (gallery.among.value = null)}>none</button>
          </div>
        )}
        {chosen && <Grid gallery={gallery} open={open} />}
      </section>
    </div>
  );
}

function Explained({ points }: { points: Grouped }) {
  const maps = [points.x, points.y].map((axis) => MAPS.indexOf(axis)).filter((one) => one >= 0);
  return (
    <>
      {points.sampled && (
        <p class="quiet">
          {points.points.id.length.toLocaleString("en")} of {points.count.toLocaleString("en")} rows, drawn by chance.
        </p>
      )}
      {maps.length > 0 && points.components.length > 0 && (
        <div class="components">
          {[...new Set(maps)].map((one) => {
            const part = points.components[one]!;
            return (
              <figure key={one}>
                <Bare
                  values={part.values}
                  shape={part.shape}
                  side={84}
                  signed
                  words={`Direction ${one + 1}: where maps with a large value have more, and where less`}
                />
                <figcaption>
                  <b>{named(MAPS[one]!)}</b>
                  <small>
                    {(100 * part.share).toFixed(0)} % of how these maps differ. A large number: more of the map where
                    this is warm, less where it is cold.
                  </small>
                </figcaption>
              </figure>
            );
          })}
        </div>
      )}
    </>
  );
}

/** The classes of the points; a click chooses them, which also works without a pointer. */
function Groups({ points, gallery }: { points: Grouped; gallery: Gallery }) {
  const { group, id, row, wrong } = points.points;
  const choose = (is: (at: number) => boolean) => {
    const keys: Key[] = [];
    id.forEach((one, at) => is(at) && keys.push([one, row[at]!]));
    gallery.among.value = keys;
  };
  const names = [...points.names.map((name, at) => ({ name, at })), ...(group.includes(-1) ? [{ name: OTHERS, at: -1 }] : [])];
  return (
    <div class="groups">
      {names.map(({ name, at }) => (
        <button key={name} class="plain" onClick={() => choose((one) => group[one] === at)}>
          <i style={{ background: colourOf(at) }} /> {name}
        </button>
      ))}
      {wrong.includes(true) && (
        <button class="plain" onClick={() => choose((one) => wrong[one]!)}>
          <i class="ring" /> wrong
        </button>
      )}
    </div>
  );
}

const colourOf = (group: number) => (group < 0 ? "#8c8f94" : GROUPS[group % GROUPS.length]!);

function Plot({ points, gallery }: { points: Grouped; gallery: Gallery }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSignal({ width: 0, height: 0 });
  const line = useSignal<Line>([]);
  const near = useSignal<number | null>(null);
  const drawing = useRef(false);
  const mark = useSignal<At | null>(null);
  const corner = useSignal<At | null>(null);
  const { x, y, id, row } = points.points;
  const chosen = gallery.among.value;

  useEffect(() => {
    const parent = canvas.current!.parentElement!;
    const watch = new ResizeObserver(() => {
      size.value = { width: parent.clientWidth, height: parent.clientHeight };
    });
    watch.observe(parent);
    return () => watch.disconnect();
  }, []);

  const { width, height } = size.value;
  const across = endsOf(x);
  const up = endsOf(y);
  const atX = (value: number) => EDGE.left + ((value - across[0]) / (across[1] - across[0])) * (width - EDGE.left - EDGE.right);
  const atY = (value: number) => height - EDGE.bottom - ((value - up[0]) / (up[1] - up[0])) * (height - EDGE.top - EDGE.bottom);

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !width) return;
    const ratio = devicePixelRatio || 1;
    canvas.current!.width = width * ratio;
    canvas.current!.height = height * ratio;
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas.current!);
    const [ink, rule, wrongInk] = ["--quiet", "--line", "--wrong"].map((name) => resolved(style, name, canvas.current!));
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    for (const value of ticks(...across)) {
      context.strokeStyle = rule!;
      stroke(context, atX(value), EDGE.top, atX(value), height - EDGE.bottom);
      context.fillStyle = ink!;
      context.textAlign = "center";
      context.fillText(short(value), atX(value), height - EDGE.bottom + 14);
    }
    for (const value of ticks(...up)) {
      context.strokeStyle = rule!;
      stroke(context, EDGE.left, atY(value), width - EDGE.right, atY(value));
      context.fillStyle = ink!;
      context.textAlign = "right";
      context.fillText(short(value), EDGE.left - 6, atY(value) + 4);
    }
    context.textAlign = "center";
    context.fillText(named(points.x), (EDGE.left + width - EDGE.right) / 2, height - 4);
    context.save();
    context.translate(11, (EDGE.top + height - EDGE.bottom) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(named(points.y), 0, 0);
    context.restore();
    const taken = chosen && new Set(chosen.map((key) => key.join(" ")));
    const radius = x.length > 1500 ? 2.2 : 3.6;
    for (let at = 0; at < x.length; at++) {
      context.globalAlpha = taken && !taken.has(`${id[at]} ${row[at]}`) ? 0.16 : 0.85;
      context.fillStyle = colourOf(points.points.group[at]!);
      context.beginPath();
      context.arc(atX(x[at]!), atY(y[at]!), radius, 0, 7);
      context.fill();
      if (points.points.wrong[at] && radius > 3) {
        context.strokeStyle = wrongInk!;
        context.stroke();
      }
    }
    context.globalAlpha = 1;
    if (line.value.length > 1) {
      context.beginPath();
      line.value.forEach((one, at) => (at ? context.lineTo(one.x, one.y) : context.moveTo(one.x, one.y)));
      context.closePath();
      context.strokeStyle = ink!;
      context.setLineDash([4, 3]);
      context.stroke();
      context.globalAlpha = 0.08;
      context.fillStyle = ink!;
      context.fill();
      context.globalAlpha = 1;
      context.setLineDash([]);
    }
  }, [points, width, height, chosen, line.value]);

  const placeOf = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const nearest = (at: { x: number; y: number }) => {
    let [best, distance] = [-1, NEAR * NEAR];
    for (let one = 0; one < x.length; one++) {
      const d = (atX(x[one]!) - at.x) ** 2 + (atY(y[one]!) - at.y) ** 2;
      if (d < distance) [best, distance] = [one, d];
    }
    return best < 0 ? null : best;
  };
  const choose = () => {
    drawing.current = false;
    const around = line.value;
    line.value = [];
    if (around.length < 3) {
      gallery.among.value = near.value === null ? null : [[id[near.value]!, row[near.value]!]];
      return;
    }
    const keys = within(around).map((at): Key => [id[at]!, row[at]!]);
    gallery.among.value = keys.length ? keys : null;
  };
  const within = (around: Line) => [...x.keys()].filter((at) => inside(around, atX(x[at]!), atY(y[at]!)));
  const onKey = (event: KeyboardEvent) => {
    const area = { left: EDGE.left, top: EDGE.top, right: width - EDGE.right, bottom: height - EDGE.bottom };
    const to = moved(event, mark.value, area);
    if (to) {
      mark.value = to;
      near.value = nearest(to);
      if (corner.value) line.value = between(corner.value, to);
    } else if (event.key === "Enter" && mark.value && !corner.value) corner.value = mark.value;
    else if (event.key === "Enter" && mark.value) {
      corner.value = null;
      choose();
    } else if (event.key === "Escape") letGo();
    else return;
    event.preventDefault();
  };
  const letGo = () => {
    mark.value = corner.value = near.value = null;
    line.value = [];
  };
  const words = !mark.value
    ? "Draw around points; or here by arrow keys, and Enter for a corner and the one across."
    : corner.value
      ? `${within(line.value).length.toLocaleString("en")} points in the box: Enter takes them, Escape lets go.`
      : near.value === null
        ? "No point is here. Enter sets a corner."
        : "A point is here. Enter twice takes it; one Enter sets a corner.";
  return (
    <>
      <div
        class="plot"
        role="application"
        tabIndex={0}
        aria-label={`${x.length} photos as points: ${named(points.x)} across, ${named(points.y)} upward. Arrow keys move a mark, Enter sets a corner and then the one across. The buttons below choose classes.`}
        onKeyDown={onKey}
        onBlur={letGo}
      >
        <canvas
          ref={canvas}
          aria-hidden="true"
          style={{ width: `${width}px`, height: `${height}px` }}
          onPointerDown={(event) => {
            if (event.button) return;
            canvas.current!.setPointerCapture(event.pointerId);
            drawing.current = true;
            line.value = [placeOf(event)];
          }}
          onPointerMove={(event) => {
            const at = placeOf(event);
            if (drawing.current) line.value = [...line.value, at];
            else near.value = nearest(at);
          }}
          onPointerUp={choose}
          onPointerCancel={() => {
            drawing.current = false;
            line.value = [];
          }}
          onPointerLeave={() => (near.value = null)}
        />
        {mark.value && <i class="mark" style={{ left: `${mark.value.x}px`, top: `${mark.value.y}px` }} />}
        {near.value !== null && !line.value.length && id[near.value] !== undefined && (
          <img
            class="near"
            alt=""
            src={rows.pictureAddress(gallery.run, id[near.value]!, 256)}
            style={{
              left: `${Math.min(atX(x[near.value]!) + 10, width - 110)}px`,
              top: `${Math.max(0, atY(y[near.value]!) - 106)}px`,
            }}
          />
        )}
      </div>
      <p class="quiet" aria-live="polite">
        {words}
      </p>
    </>
  );
}

function endsOf(values: number[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(high > low)) return [low - 1, low + 1];
  const margin = 0.04 * (high - low);
  return [low - margin, high + margin];
}

function stroke(context: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

const short = (value: number) => (Math.abs(value) < 1e-9 ? "0" : String(Number(value.toPrecision(3))).replace("-", "−"));

/** A colour of the page as it is now, dark or light. */
function resolved(_: CSSStyleDeclaration, name: string, on: HTMLElement): string {
  on.style.color = `var(${name})`;
  const found = getComputedStyle(on).color;
  on.style.color = "";
  return found;
}
