/** What is shown, as a figure for a paper: the panes with their titles and the key of the colours, as PNG or SVG. */

import { element, fontOf, INK, pngOn, QUIET, svgWith, widthOf, writing } from "./paper";

/** A pane as it stands in the page. */
export interface Panel {
  title: string;
  detail: string;
  photo: CanvasImageSource;
  width: number;
  height: number;
  /** The drawn maps, each with the part of the width that it covers. */
  layers: { canvas: HTMLCanvasElement; from: number; to: number }[];
}

export interface Figure {
  panels: Panel[];
  legend: { low: string; high: string; colours: HTMLCanvasElement } | null;
}

const SIDE = 900;
const GAP = 24;
const MARGIN = 20;
const TITLE = 26;
const LINE = 34;
const TOP = 96;
const KEY = 18;

interface Placed {
  panel: Panel;
  left: number;
  width: number;
  height: number;
}

function layout(figure: Figure): { placed: Placed[]; width: number; height: number; bottom: number } {
  const height = Math.max(...figure.panels.map((one) => Math.round((SIDE * one.height) / Math.max(one.height, one.width))));
  let left = MARGIN;
  const placed = figure.panels.map((panel) => {
    const width = Math.round((height * panel.width) / panel.height);
    const one = { panel, left, width, height };
    left += width + GAP;
    return one;
  });
  const bottom = TOP + height;
  return { placed, width: left - GAP + MARGIN, height: bottom + (figure.legend ? 64 : MARGIN), bottom };
}

/** Words that fit into a width; what is cut ends with an ellipsis. */
function fitted(words: string, width: number, size: number, bold: boolean): string {
  if (widthOf(words, size, bold) <= width) return words;
  let end = words.length;
  while (end > 1 && widthOf(`${words.slice(0, end)}…`, size, bold) > width) end--;
  return `${words.slice(0, end)}…`;
}

/** The photo and its maps, without words. */
function picture({ panel, width, height }: Placed): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d")!;
  context.imageSmoothingQuality = "high";
  context.drawImage(panel.photo, 0, 0, width, height);
  for (const { canvas: layer, from, to } of panel.layers) {
    context.save();
    context.beginPath();
    context.rect(from * width, 0, (to - from) * width, height);
    context.clip();
    context.drawImage(layer, 0, 0, width, height);
    context.restore();
  }
  return canvas;
}

export function pngOf(figure: Figure): Promise<Blob | null> {
  const { placed, width, height, bottom } = layout(figure);
  return pngOn(width, height, (context) => {
    const write = (words: string, x: number, y: number, size: number, bold: boolean, colour: string) => {
      context.font = fontOf(size, bold);
      context.fillStyle = colour;
      context.fillText(words, x, y);
    };
    for (const one of placed) {
      write(fitted(one.panel.title, one.width, TITLE, true), one.left, 40, TITLE, true, INK);
      write(fitted(one.panel.detail, one.width, KEY, false), one.left, 40 + LINE, KEY, false, QUIET);
      context.drawImage(picture(one), one.left, TOP);
    }
    if (!figure.legend) return;
    const { low, high, colours } = figure.legend;
    write(low, MARGIN, bottom + 44, KEY, false, QUIET);
    const at = MARGIN + widthOf(low, KEY) + 12;
    context.imageSmoothingEnabled = false;
    context.drawImage(colours, at, bottom + 30, 240, 16);
    write(high, at + 252, bottom + 44, KEY, false, QUIET);
  });
}

/** The same with its words as words, so that a paper's own font can be set. */
export function svgOf(figure: Figure): Blob {
  const { placed, width, height, bottom } = layout(figure);
  const elements = placed.flatMap((one) => [
    writing(fitted(one.panel.title, one.width, TITLE, true), one.left, 40, TITLE, true, INK),
    writing(fitted(one.panel.detail, one.width, KEY, false), one.left, 40 + LINE, KEY, false, QUIET),
    element("image", { x: one.left, y: TOP, width: one.width, height: one.height, href: picture(one).toDataURL("image/png") }),
  ]);
  if (figure.legend) {
    const { low, high, colours } = figure.legend;
    const at = MARGIN + 12 + 0.55 * KEY * low.length;
    elements.push(
      writing(low, MARGIN, bottom + 44, KEY, false, QUIET),
      element("image", { x: at, y: bottom + 30, width: 240, height: 16, preserveAspectRatio: "none", href: colours.toDataURL("image/png") }),
      writing(high, at + 252, bottom + 44, KEY, false, QUIET),
    );
  }
  return svgWith(width, height, elements);
}
