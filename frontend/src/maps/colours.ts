/** A table from level to colour: threshold, opacity and colour map are all in it, so that painting is looking up. */

import { UNSEEN, type Heat } from "./levels";

/** 257 colours as the bytes of RGBA: one for each level, and one for what the model did not see. */
export type Table = Uint32Array;

const DARK = 24;
const DARKNESS = 0.78;

/**
 * @param colours 256 × RGB.
 * @param opacity 0 (only the picture) to 1 (only the colours).
 * @param threshold levels below this share are not shown; of a signed map those nearer to the middle.
 * @param signed whether the middle is zero.
 */
export function tableOf(colours: Uint8Array, opacity: number, threshold: number, signed: boolean): Table {
  const bytes = new Uint8ClampedArray(257 * 4);
  for (let level = 0; level < 256; level++) {
    const strength = signed ? Math.abs(level - 127.5) / 127.5 : level / 255;
    bytes[level * 4] = colours[level * 3]!;
    bytes[level * 4 + 1] = colours[level * 3 + 1]!;
    bytes[level * 4 + 2] = colours[level * 3 + 2]!;
    bytes[level * 4 + 3] = threshold > 0 && strength < threshold ? 0 : Math.round(opacity * 255);
  }
  bytes.set([DARK, DARK, DARK, Math.round(DARKNESS * 255)], UNSEEN * 4);
  return new Uint32Array(bytes.buffer);
}

const FULL_AT = 1 / 3;

/** A signed table whose colours fade towards zero, so that the photo is seen where there is little to say. */
export function fading(table: Table): Table {
  const bytes = new Uint8ClampedArray(table.slice().buffer);
  for (let level = 0; level < 256; level++)
    bytes[level * 4 + 3]! *= Math.min(1, Math.abs(level - 127.5) / 127.5 / FULL_AT);
  return new Uint32Array(bytes.buffer);
}

/** All panes are painted through one picture, since most have the same size. */
let last: { image: ImageData; pixels: Uint32Array } | null = null;

function blank(width: number, height: number): { image: ImageData; pixels: Uint32Array } {
  if (last?.image.width !== width || last.image.height !== height) {
    const image = new ImageData(width, height);
    last = { image, pixels: new Uint32Array(image.data.buffer) };
  }
  return last;
}

/** Paint a heat; the canvas takes its size. */
export function paint(canvas: HTMLCanvasElement, heat: Heat, table: Table): void {
  if (canvas.width !== heat.width || canvas.height !== heat.height) {
    canvas.width = heat.width;
    canvas.height = heat.height;
  }
  const context = canvas.getContext("2d");
  if (!context) return;
  const { image, pixels } = blank(heat.width, heat.height);
  const { levels } = heat;
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[levels[i]!]!;
  context.putImageData(image, 0, 0);
}
