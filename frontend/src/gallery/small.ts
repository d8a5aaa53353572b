/** Maps at the size of a tile. */

import { heatOf, type Heat } from "../maps/levels";
import { place } from "../maps/place";
import { bytesOf, type Geometry, type Pair } from "../view";

/** The geometry of the same photo with another size. */
export function resized(geometry: Geometry, side: number): Geometry {
  const [height, width] = geometry.photo_size;
  const factor = side / Math.max(height, width);
  const size: Pair = [Math.max(1, Math.round(height * factor)), Math.max(1, Math.round(width * factor))];
  return {
    ...geometry,
    photo_size: size,
    scale: [(geometry.scale[0] * height) / size[0], (geometry.scale[1] * width) / size[1]],
  };
}

export function numbersIn(values: string): Float32Array {
  const bytes = bytesOf(values);
  return new Float32Array(bytes.buffer, 0, bytes.byteLength / 4);
}

/** The heat of a map on its photo, on its own scale. */
export function smallHeat(
  map: { shape: Pair; values: string },
  geometry: Geometry,
  side: number,
  rectified: boolean,
): Heat {
  const placed = place(numbersIn(map.values), map.shape, resized(geometry, side), rectified);
  return heatOf(placed, { kind: "ends", ends: placed.range });
}

/** A map by itself, on nothing. */
export function bareHeat(values: Float32Array, shape: Pair, side: number, signed: boolean): Heat {
  const whole = resized({ photo_size: shape, input_size: shape, scale: [1, 1], offset: [0, 0] }, side);
  const placed = place(values, shape, whole, !signed);
  const most = Math.max(-placed.range[0], placed.range[1]);
  return heatOf(placed, signed ? { kind: "signed", most } : { kind: "ends", ends: placed.range });
}
