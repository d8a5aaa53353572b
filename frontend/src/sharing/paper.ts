/** What figures for a paper are drawn with: a white ground, one font and two inks, as PNG and as SVG. */

export const FONT = "Helvetica, Arial, sans-serif";
export const INK = "#1c1d20";
export const QUIET = "#5d6066";

export const fontOf = (size: number, bold: boolean): string => `${bold ? "600 " : ""}${size}px ${FONT}`;

let measure: CanvasRenderingContext2D | undefined;

/** How wide words are, in pixels. */
export function widthOf(words: string, size: number, bold = false): number {
  measure ??= document.createElement("canvas").getContext("2d")!;
  measure.font = fontOf(size, bold);
  return measure.measureText(words).width;
}

/** White paper that is drawn on, as a PNG. */
export function pngOn(width: number, height: number, draw: (on: CanvasRenderingContext2D) => void): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const on = canvas.getContext("2d")!;
  on.fillStyle = "#fff";
  on.fillRect(0, 0, width, height);
  draw(on);
  return new Promise((done) => canvas.toBlob(done));
}

export function element(name: string, attributes: Record<string, string | number>, words?: string): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (words !== undefined) made.textContent = words;
  return made;
}

/** Words as words, so that a paper's own font can be set. */
export const writing = (words: string, x: number, y: number, size: number, bold: boolean, colour: string): SVGElement =>
  element("text", { x, y, "font-size": size, fill: colour, ...(bold ? { "font-weight": 600 } : {}) }, words);

/** A picture of elements, as an SVG. */
export function svgWith(width: number, height: number, elements: Iterable<SVGElement>): Blob {
  const root = element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "font-family": FONT });
  root.append(...elements);
  return new Blob([new XMLSerializer().serializeToString(root)], { type: "image/svg+xml" });
}
