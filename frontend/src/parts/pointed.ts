/** What the pointer does on a picture, by the tool that is held. */

import { beginStroke, goOnStroke } from "../engine/brushing";
import { photo } from "../state/given";
import { cursor, WHOLE, zoom } from "../state/pointer";
import { adding, showTarget, swipe } from "../state/shown";
import { drawn, tool } from "../state/tool";
import type { Geometry, Pair } from "../view";

const MOST_ZOOM = 12;
const DOUBLE_CLICK_ZOOM = 3;
/** A smaller box was not meant: as a share of the picture. */
const SMALLEST_BOX = 0.01;

/** The handlers of a picture; `split` if it has a divider. */
export function pointed(split: boolean) {
  return {
    onPointerDown: (event: PointerEvent) => {
      if (event.button !== 0) return;
      const at = shareAt(event);
      (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
      if (tool.value === "brush") beginStroke(at);
      else if (tool.value === "box") drawn.value = [at, at];
      else if (split) swipe.value = at[1];
    },
    onPointerMove: (event: PointerEvent) => {
      const at = shareAt(event);
      const before = cursor.value;
      cursor.value = at;
      if (!(event.buttons & 1)) return;
      if (tool.value === "brush") goOnStroke(at);
      else if (tool.value === "box" && drawn.value) drawn.value = [drawn.value[0], at];
      else if (split) swipe.value = at[1];
      else if (before && zoom.value.factor > 1) pan(event);
    },
    onPointerUp: finishBox,
    onPointerCancel: () => (drawn.value = null),
    onPointerLeave: () => (cursor.value = null),
    onWheel: (event: WheelEvent) => {
      if (!event.ctrlKey && !event.altKey) return; // the page scrolls
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY / 300), shareAt(event));
    },
    onDblClick: (event: MouseEvent) => {
      if (tool.value === "look") zoomBy(zoom.value.factor > 1 ? 0 : DOUBLE_CLICK_ZOOM, shareAt(event));
    },
  };
}

const ARROWS: Record<string, Pair> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** With Shift arrow keys go by so much of a cell. */
const FINE = 0.1;

/**
 * Arrow keys go from cell to cell of the map, with Shift in small steps. Enter brushes there, where one brushes; where one
 * draws a box, it sets a corner, and then the one across.
 */
export function pointByKey(event: KeyboardEvent, shape: Pair, geometry: Geometry): void {
  const at = cursor.value;
  if (event.key === "Enter" && at && tool.value !== "look") {
    event.preventDefault();
    if (tool.value === "brush") beginStroke(at);
    else if (!drawn.value) drawn.value = [at, at];
    else finishBox();
    return;
  }
  const way = ARROWS[event.key];
  if (!way) return;
  event.preventDefault();
  const go = (axis: 0 | 1) => {
    const cell = geometry.input_size[axis] / (shape[axis] * geometry.scale[axis] * geometry.photo_size[axis]);
    const step = way[axis] * cell * (event.shiftKey ? FINE : 1);
    return Math.min(Math.max(at![axis] + step, 0), 0.999999);
  };
  const to: Pair = at ? [go(0), go(1)] : [0.5, 0.5];
  cursor.value = to;
  if (drawn.value) drawn.value = [drawn.value[0], to];
  follow(to);
}

/** Move what is seen, so that the pointer stays in sight. */
function follow(to: Pair): void {
  const { factor, y, x } = zoom.value;
  const within = (at: number, middle: number) => Math.min(Math.max(middle, at - 0.5 / factor), at + 0.5 / factor);
  if (factor > 1) zoom.value = { factor, y: clipped(within(to[0], y), factor), x: clipped(within(to[1], x), factor) };
}

/** The middle of what is seen, so that nothing beyond the picture is. */
const clipped = (middle: number, factor: number) => Math.min(Math.max(middle, 0.5 / factor), 1 - 0.5 / factor);

/** Zoom by a factor; what is at this point stays there. */
export function zoomBy(by: number, at: Pair): void {
  const now = zoom.value;
  const factor = Math.min(Math.max(now.factor * by, 1), MOST_ZOOM);
  if (factor === 1) {
    zoom.value = WHOLE;
    return;
  }
  const share = now.factor / factor;
  zoom.value = { factor, y: at[0] + (now.y - at[0]) * share, x: at[1] + (now.x - at[1]) * share };
}

function pan(event: PointerEvent): void {
  const picture = pictureOf(event).getBoundingClientRect();
  const { factor, y, x } = zoom.value;
  zoom.value = {
    factor,
    y: clipped(y - event.movementY / picture.height, factor),
    x: clipped(x - event.movementX / picture.width, factor),
  };
}

function finishBox(): void {
  const box = drawn.value;
  drawn.value = null;
  if (box) explainBox(box);
}

function explainBox([a, b]: [Pair, Pair]): void {
  const of = photo.value;
  if (!of || Math.abs(a[0] - b[0]) < SMALLEST_BOX || Math.abs(a[1] - b[1]) < SMALLEST_BOX) return;
  const [height, width] = of.size;
  const corners = [
    Math.min(a[1], b[1]) * width,
    Math.min(a[0], b[0]) * height,
    Math.max(a[1], b[1]) * width,
    Math.max(a[0], b[0]) * height,
  ];
  showTarget(`instance:${corners.map(Math.round).join()}`, adding.value);
  tool.value = "look";
}

const pictureOf = (event: MouseEvent) => (event.currentTarget as HTMLElement).querySelector("img")!;

/** Where the pointer is on the picture, as shares; the zoom is taken off. */
function shareAt(event: MouseEvent): Pair {
  const picture = pictureOf(event).getBoundingClientRect();
  const clip = (value: number) => Math.min(Math.max(value, 0), 0.999999);
  return [
    clip((event.clientY - picture.top) / picture.height),
    clip((event.clientX - picture.left) / picture.width),
  ];
}
