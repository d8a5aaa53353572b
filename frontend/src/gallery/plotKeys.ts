/** Drawing around points without a pointer: arrow keys move a mark, Enter sets a corner, and then the one across. */

import type { Line } from "./lasso";

export interface At {
  x: number;
  y: number;
}

/** Of the plot's sides. */
const STEP = 1 / 24;
const FINE = 1 / 160;

const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Where the points lie, in pixels. */
export interface Area {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Where a key moves the mark to, with Shift in small steps; null if it is another key. */
export function moved(event: KeyboardEvent, at: At | null, { left, top, right, bottom }: Area): At | null {
  const way = ARROWS[event.key];
  if (!way) return null;
  if (!at) return { x: (left + right) / 2, y: (top + bottom) / 2 };
  const step = event.shiftKey ? FINE : STEP;
  return {
    x: Math.min(Math.max(at.x + way[0] * step * (right - left), left), right),
    y: Math.min(Math.max(at.y + way[1] * step * (bottom - top), top), bottom),
  };
}

/** The box between two corners; no line where these are one. */
export function between(a: At, b: At): Line {
  if (a.x === b.x || a.y === b.y) return [];
  return [a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }];
}
