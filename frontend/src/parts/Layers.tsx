/** What lies over a picture besides its map: what is brushed, boxes, the pointer. */

import { useEffect, useRef } from "preact/hooks";

import { brushed, does, radius } from "../engine/brushing";
import * as facts from "../engine/facts";
import { cursor } from "../state/pointer";
import { adds, showTarget, wordsOf, type Found } from "../state/shown";
import { drawn, tool } from "../state/tool";

const GONE = [214, 214, 214, 205] as const;

/** What the model does not see any more. */
export function BrushedLayer() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const mask = brushed.value;
  const hidden = does.value === "hide" ? 255 : 0;
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !mask) return;
    const [height, width] = mask.shape;
    const image = context.createImageData(width, height);
    mask.cells.forEach((cell, i) => cell === hidden && image.data.set(GONE, 4 * i));
    context.putImageData(image, 0, 0);
  }, [mask, hidden]);
  return mask && <canvas class="brushed" ref={canvas} height={mask.shape[0]} width={mask.shape[1]} />;
}

/** The box that is being drawn. */
export function DrawnBox() {
  const box = drawn.value;
  if (!box) return null;
  const [a, b] = box;
  return <div class="box drawn" style={boxStyle(Math.min(a[1], b[1]), Math.min(a[0], b[0]), Math.max(a[1], b[1]), Math.max(a[0], b[0]))} />;
}

/** More boxes hide the picture; the list has them all. */
const MOST_BOXES = 8;

/** What a detector found: a click explains it. */
export function FoundBoxes({ of }: { of: Found }) {
  const places = facts.places.value;
  if (places?.kind !== "instances" || tool.value !== "look") return null;
  const [height, width] = of.photo.size;
  const chosen = wordsOf(of.target);
  return (
    <>
      {places.instances.slice(0, MOST_BOXES).map((one) => {
        const [x0, y0, x1, y1] = one.box;
        return (
          <button
            key={one.target}
            class={`box ${one.target === chosen || one.number === of.one.target ? "chosen" : ""}`}
            style={boxStyle(x0 / width, y0 / height, x1 / width, y1 / height)}
            aria-label={`${one.name}, number ${one.number + 1}`}
            title={one.name}
            onPointerDown={(event) => event.stopPropagation()}
            onClick={(event) => showTarget(one.target, adds(event))}
          />
        );
      })}
    </>
  );
}

const boxStyle = (x0: number, y0: number, x1: number, y1: number) => ({
  left: `${100 * x0}%`,
  top: `${100 * y0}%`,
  width: `${100 * (x1 - x0)}%`,
  height: `${100 * (y1 - y0)}%`,
});

/** The pointer, in every pane; as large as the brush where one brushes. */
export function Pointer({ aspect }: { aspect: number }) {
  const at = cursor.value;
  if (!at) return null;
  const place = { top: `${100 * at[0]}%`, left: `${100 * at[1]}%` };
  if (tool.value !== "brush") return <div class="cursor" style={place} />;
  const share = 2 * radius.value * Math.max(1, 1 / aspect);
  return <div class="cursor of-brush" style={{ ...place, width: `${100 * share}%` }} />;
}
