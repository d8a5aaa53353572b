/** What keys do. */

import * as brushing from "./engine/brushing";
import { layers } from "./engine/facts";
import { engine } from "./engine/models";
import { zoomBy } from "./parts/pointed";
import { place } from "./places";
import { peek } from "./state/drawing";
import { step } from "./state/listing";
import { cursor, WHOLE, zoom } from "./state/pointer";
import { show, shown } from "./state/shown";
import { drawn, tool } from "./state/tool";
import * as leavingOut from "./texts/leavingOut";
import { readsTexts } from "./texts/text";

const ZOOM = 1.5;

const typing = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
const pressing = (target: EventTarget | null) => target instanceof HTMLElement && target.matches("button, summary, a");

const zoomKey = (by: number) => zoomBy(by, cursor.value ?? [zoom.value.y, zoom.value.x]);

function scrub(by: number): void {
  const last = shown.value[shown.value.length - 1];
  const next = layers.value[layers.value.findIndex((layer) => layer.name === last?.layer) + by];
  if (last && next) show({ ...last, layer: next.name }, false);
}

const ACTIONS: Record<string, () => void> = {
  j: () => step(1),
  k: () => step(-1),
  "+": () => zoomKey(ZOOM),
  "-": () => zoomKey(1 / ZOOM),
  "0": () => (zoom.value = WHOLE),
};
const ENGINE_ACTIONS: Record<string, () => void> = {
  "[": () => scrub(-1),
  "]": () => scrub(1),
  b: () => (tool.value = "brush"),
  l: () => (tool.value = "look"),
  Escape: () => {
    drawn.value = null;
    tool.value = "look";
  },
};

export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if (typing(event.target) || event.altKey || place.value.kind !== "photos") return;
    if (event.ctrlKey || event.metaKey) {
      if (event.key.toLowerCase() !== "z" || !engine.value) return;
      event.preventDefault();
      const { undo, redo } = readsTexts.value ? leavingOut : brushing;
      if (event.shiftKey) redo();
      else undo();
      return;
    }
    if (event.key === " " && !pressing(event.target)) {
      peek.value = true;
      event.preventDefault();
    }
    ACTIONS[event.key]?.();
    if (engine.value) ENGINE_ACTIONS[event.key]?.();
  });
  addEventListener("keyup", (event) => {
    if (event.key === " ") peek.value = false;
  });
  addEventListener("blur", () => (peek.value = false));
}
