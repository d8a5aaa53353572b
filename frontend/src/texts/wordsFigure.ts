/** Rows of coloured words as a figure for a paper: laid out once, drawn as PNG or SVG. */

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
const FONT = "Helvetica, Arial, sans-serif";
const INK = "#1c1d20";
const QUIET = "#5d6066";
const FOR = "#f07f23";
const AGAINST = "#3f8fe0";

const fontOf = (size: number, bold: boolean) => `${bold ? "600 " : ""}${size}px ${FONT}`;

const context = () => document.createElement("canvas").getContext("2d")!;

/** @param legend what a cold and what a warm ground mean. */
export function wordsFigure(lines: Line[], legend: [string, string]): WordsFigure {
  const shapes: Shape[] = [];
  const measure = context();
  const widthOf = (words: string, size: number, bold = false) => {
    measure.font = fontOf(size, bold);
    return measure.measureText(words).width;
  };
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

export function pngOf({ width, height, shapes }: WordsFigure): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const on = canvas.getContext("2d")!;
  on.fillStyle = "#fff";
  on.fillRect(0, 0, width, height);
  for (const shape of shapes) {
    on.fillStyle = shape.colour;
    on.globalAlpha = shape.kind === "ground" ? shape.opacity : 1;
    if (shape.kind === "ground") on.fillRect(shape.x, shape.y, shape.width, shape.height);
    else {
      on.font = fontOf(shape.size, shape.bold);
      on.fillText(shape.words, shape.x, shape.y);
    }
  }
  return new Promise((done) => canvas.toBlob(done));
}

export function svgOf({ width, height, shapes }: WordsFigure): Blob {
  const element = (name: string, attributes: Record<string, string | number>, words?: string) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    if (words !== undefined) made.textContent = words;
    return made;
  };
  const root = element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "font-family": FONT });
  for (const shape of shapes)
    root.append(
      shape.kind === "ground"
        ? element("rect", { x: shape.x, y: shape.y, width: shape.width, height: shape.height, rx: 3, fill: shape.colour, opacity: shape.opacity.toFixed(3) })
        : element("text", { x: shape.x, y: shape.y, "font-size": shape.size, fill: shape.colour, ...(shape.bold ? { "font-weight": 600 } : {}) }, shape.words),
    );
  return new Blob([new XMLSerializer().serializeToString(root)], { type: "image/svg+xml" });
}
