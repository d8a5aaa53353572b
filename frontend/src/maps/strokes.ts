/** What was brushed: strokes, and the small grid that they cover. */

import { bytesOf, textOf, type Pair } from "../view";

/** One stroke, or a whole region that was marked at once: a bit for each cell of a grid, base64. */
export type Stroke =
  | { kind: "line"; points: Pair[]; radius: number }
  | { kind: "region"; shape: Pair; bits: string };

const SIDE = 128;

/** Height and width of the grid of a picture of that size: as fine as one needs, and no larger. */
export function gridOf([height, width]: Pair): Pair {
  const scale = Math.min(1, SIDE / Math.max(height, width));
  return [Math.max(1, Math.round(height * scale)), Math.max(1, Math.round(width * scale))];
}

/**
 * Where strokes cover the grid: 255 inside, 0 outside.
 *
 * @param strokes their points are shares of the picture (vertical, horizontal), their radius of its longer side.
 * @param grid its height and width.
 */
export function covered(strokes: Stroke[], [height, width]: Pair): Uint8Array {
  const cells = new Uint8Array(height * width);
  for (const stroke of strokes) {
    if (stroke.kind === "line") drawLine(cells, [height, width], stroke.points, stroke.radius);
    else drawRegion(cells, [height, width], stroke);
  }
  return cells;
}

function drawLine(cells: Uint8Array, [height, width]: Pair, points: Pair[], radius: number): void {
  const reach = radius * Math.max(height, width);
  points.forEach((point, i) => {
    const [ay, ax] = [point[0] * height, point[1] * width];
    const from = points[Math.max(i - 1, 0)]!;
    const [by, bx] = [from[0] * height, from[1] * width];
    const length = (by - ay) ** 2 + (bx - ax) ** 2;
    const top = Math.max(0, Math.floor(Math.min(ay, by) - reach));
    const bottom = Math.min(height - 1, Math.ceil(Math.max(ay, by) + reach));
    const left = Math.max(0, Math.floor(Math.min(ax, bx) - reach));
    const right = Math.min(width - 1, Math.ceil(Math.max(ax, bx) + reach));
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const [y, x] = [row + 0.5 - ay, column + 0.5 - ax];
        const along = length ? Math.min(Math.max((y * (by - ay) + x * (bx - ax)) / length, 0), 1) : 0;
        if ((y - along * (by - ay)) ** 2 + (x - along * (bx - ax)) ** 2 <= reach * reach)
          cells[row * width + column] = 255;
      }
    }
  });
}

function drawRegion(cells: Uint8Array, [height, width]: Pair, { shape, bits }: Stroke & { kind: "region" }): void {
  const bytes = bytesOf(bits);
  for (let row = 0; row < height; row++) {
    const y = Math.floor(((row + 0.5) * shape[0]) / height);
    for (let column = 0; column < width; column++) {
      const at = y * shape[1] + Math.floor(((column + 0.5) * shape[1]) / width);
      if (bytes[at >> 3]! & (1 << (at & 7))) cells[row * width + column] = 255;
    }
  }
}

/** A region as a stroke: the cells of a finer grid that are marked at the middle of each of its cells. */
export function regionOf(size: Pair, isMarked: (y: number, x: number) => boolean): Stroke {
  const [height, width] = gridOf(size);
  const bytes = new Uint8Array(Math.ceil((height * width) / 8));
  for (let at = 0; at < height * width; at++) {
    const y = (Math.floor(at / width) + 0.5) / height;
    const x = ((at % width) + 0.5) / width;
    if (isMarked(y, x)) bytes[at >> 3]! |= 1 << (at & 7);
  }
  return { kind: "region", shape: [height, width], bits: textOf(bytes) };
}
