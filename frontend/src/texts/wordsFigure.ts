/** Rows of coloured words as a figure for a paper: laid out once, drawn as PNG or SVG. */

import { element, fontOf, INK, pngOn, QUIET, svgWith, widthOf, writing } from "../sharing/paper";
import { STRONGEST } from "./Words";
import { isColoured, type Line } from "./lines";

type Shape =
  | { kind: "ground"; x: number; y: number; width: number; height: number; colour: string; opacity: number }
  | { kind: "words"; x: number; y: number; size: number; bold: boolean; colour: string; words: string };

export interface WordsFigure {
  width: number;
  height: number;
  shapes: Shape[];
}

const WIDTH = 1200;
const MARGIN = 20;
const SIZE = 24;
const LINE = 42;
const PAD = 4;
const FOR = "#f07f23";
const AGAINST = "#3f8fe0";

/** @param legend what a cold and what a warm ground mean. */
export function wordsFigure(lines: Line[], legend: [string, string]): WordsFigure {
  const shapes: Shape[] = [];
  let y = MARGIN;
  for (const line of lines) {
    y += SIZE;
    shapes.push({ kind: "words", x: MARGIN, y, size: 22, bold: true, colour: INK, words: line.title });
    const beside = MARGIN + widthOf(line.title, 22, true) + 12;
    shapes.push({ kind: "words", x: beside, y, size: 16, bold: false, colour: QUIET, words: line.detail });
    y += LINE;
    let x = MARGIN;
    line.words.forEach((word, at) => {
      const width = widthOf(word.text, SIZE);
      if (at && !word.glued) x += SIZE / 3;
      if (x > MARGIN && x + width > WIDTH - MARGIN) {
        x = MARGIN;
        y += LINE;
      }
      const strength = line.strengths[at]!;
      if (isColoured(strength) && strength !== 0)
        shapes.push({
          kind: "ground", x: x - PAD / 2, y: y - SIZE, width: width + PAD, height: SIZE + 2 * PAD,
          colour: strength < 0 ? AGAINST : FOR, opacity: (STRONGEST / 100) * Math.abs(strength),
        });
      shapes.push({ kind: "words", x, y, size: SIZE, bold: false, colour: INK, words: word.text });
      x += width + PAD;
    });
    y += LINE;
  }
  let x = MARGIN;
  for (const [number, words] of legend.entries()) {
    const width = widthOf(words, 16);
    shapes.push({ kind: "ground", x, y: y - 18, width: width + 12, height: 24, colour: number ? FOR : AGAINST, opacity: STRONGEST / 100 });
    shapes.push({ kind: "words", x: x + 6, y, size: 16, bold: false, colour: INK, words });
    x += width + 24;
  }
  return { width: WIDTH, height: y + MARGIN, shapes };
}

export const pngOf = ({ width, height, shapes }: WordsFigure): Promise<Blob | null> =>
  pngOn(width, height, (on) => {
    for (const shape of shapes) {
      on.fillStyle = shape.colour;
      on.globalAlpha = shape.kind === "ground" ? shape.opacity : 1;
      if (shape.kind === "ground") on.fillRect(shape.x, shape.y, shape.width, shape.height);
      else {
        on.font = fontOf(shape.size, shape.bold);
        on.fillText(shape.words, shape.x, shape.y);
      }
    }
  });

export const svgOf = ({ width, height, shapes }: WordsFigure): Blob =>
  svgWith(
    width,
    height,
    shapes.map((shape) =>
      shape.kind === "ground"
        ? element("rect", { x: shape.x, y: shape.y, width: shape.width, height: shape.height, rx: 3, fill: shape.colour, opacity: shape.opacity.toFixed(3) })
        : writing(shape.words, shape.x, shape.y, shape.size, shape.bold, shape.colour),
    ),
  );
