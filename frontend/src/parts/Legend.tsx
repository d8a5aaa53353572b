/** What the colours mean. */

import { useEffect, useRef } from "preact/hooks";

import * as drawing from "../state/drawing";
import type { Mode } from "../state/shown";

const ENDS: Record<drawing.ScaleName, [string, string]> = {
  map: ["least of this map", "most of it"],
  photo: ["least of this photo's targets", "most of them"],
  all: ["least of all photos", "most of them"],
  signed: ["against", "for"],
};

export function Legend({ mode }: { mode: Mode }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const signed = mode === "difference" || drawing.signedColours.value;
  const colours = drawing.coloursOf(signed);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(256, 1);
    for (let level = 0; level < 256; level++)
      image.data.set([...colours.subarray(level * 3, level * 3 + 3), 255], level * 4);
    context.putImageData(image, 0, 0);
  });
  const [low, high] = mode === "difference" ? ["more in the second", "more in the first"] : ENDS[drawing.scale.value];
  return (
    <p class="legend">
      <span>{low}</span>
      <canvas ref={canvas} width={256} height={1} role="img" aria-label={`Colours from ${low} to ${high}`} />
      <span>{high}</span>
    </p>
  );
}
