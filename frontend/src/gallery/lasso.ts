/** Which points lie inside of what was drawn around them. */

/** Corners of a closed line. */
export type Line = { x: number; y: number }[];

/** Whether a point is inside: a ray from it crosses the line an odd number of times. */
export function inside(line: Line, x: number, y: number): boolean {
  let odd = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [a, b] = [line[i]!, line[j]!];
    if (a.y > y !== b.y > y && x < ((b.x - a.x) * (y - a.y)) / (b.y - a.y) + a.x) odd = !odd;
  }
  return odd;
}

/** The shortest and longest numbers that stand at an axis between two ends. */
export function ticks(low: number, high: number, most = 5): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw)!;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(at);
  return found;
}

/** Colours that are told apart by people who see few colours too (Okabe and Ito 2008). */
export const GROUPS = ["#e69f00", "#56b4e9", "#009e73", "#d55e00", "#2f86c9", "#cc79a7", "#b8a900", "#7f7f7f"];
