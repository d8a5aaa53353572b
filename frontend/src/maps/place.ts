/** From a raw map at the layer's resolution to numbers on the picture: linear along each axis, half-pixel. */

import type { Geometry, Pair } from "../view";

/** A map on the picture. What the model did not see is NaN. */
export interface Placed {
  width: number;
  height: number;
  values: Float32Array;
  /** The lowest and the highest of the values that are there. */
  range: Pair;
}

interface Steps {
  /** The cell at or before each pixel; −1 where the model does not see it. */
  low: Int32Array;
  /** How far the pixel lies from that cell's centre to the next one's. */
  share: Float32Array;
}

function stepsAlong(count: number, cells: number, scale: number, offset: number, input: number, reach = 0): Steps {
  const low = new Int32Array(count);
  const share = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = (i + 0.5) * scale + offset;
    if (at < -reach || at >= input + reach) {
      low[i] = -1;
      continue;
    }
    const centred = Math.min(Math.max((at * cells) / input - 0.5, 0), cells - 1);
    const first = Math.min(Math.floor(centred), Math.max(cells - 2, 0));
    low[i] = first;
    share[i] = centred - first;
  }
  return { low, share };
}

/**
 * Put a map onto a picture.
 *
 * @param map its values, row by row.
 * @param shape its rows and columns.
 * @param geometry of the picture that is shown.
 * @param rectified whether what is below zero becomes zero first.
 */
export function place(map: Float32Array, shape: Pair, geometry: Geometry, rectified: boolean): Placed {
  const [rows, columns] = shape;
  const [height, width] = geometry.photo_size;
  const down = stepsAlong(height, rows, geometry.scale[0], geometry.offset[0], geometry.input_size[0], geometry.reach?.[0]);
  const across = stepsAlong(width, columns, geometry.scale[1], geometry.offset[1], geometry.input_size[1], geometry.reach?.[1]);
  const cells = rectified ? map.map((value) => (value < 0 ? 0 : value)) : map;
  const values = new Float32Array(width * height).fill(NaN);
  const line = new Float32Array(columns + 1);
  let lowest = Infinity;
  let highest = -Infinity;
  for (let y = 0; y < height; y++) {
    const row = down.low[y]!;
    if (row < 0) continue;
    const part = down.share[y]!;
    const here = row * columns;
    const next = Math.min(row + 1, rows - 1) * columns;
    for (let x = 0; x < columns; x++) line[x] = cells[here + x]! * (1 - part) + cells[next + x]! * part;
    line[columns] = line[columns - 1]!;
    for (let x = 0; x < width; x++) {
      const column = across.low[x]!;
      if (column < 0) continue;
      const value = line[column]! * (1 - across.share[x]!) + line[column + 1]! * across.share[x]!;
      values[y * width + x] = value;
      if (value < lowest) lowest = value;
      if (value > highest) highest = value;
    }
  }
  return { width, height, values, range: [lowest, highest] };
}

/** The cell of the map below a point of the picture (in its pixels); null where the model does not see it. */
export function cellAt(y: number, x: number, shape: Pair, geometry: Geometry): Pair | null {
  const at: Pair = [y * geometry.scale[0] + geometry.offset[0], x * geometry.scale[1] + geometry.offset[1]];
  const found = at.map((value, axis) => {
    const [input, reach] = [geometry.input_size[axis]!, geometry.reach?.[axis] ?? 0];
    const within = value < 0 && value >= -reach ? 0 : value >= input && value < input + reach ? input - 1e-6 : value;
    return Math.floor((within * shape[axis]!) / input);
  });
  const inside = found.every((cell, axis) => cell >= 0 && cell < shape[axis]!);
  return inside ? (found as Pair) : null;
}
