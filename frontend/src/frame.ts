/** The page in the frame of a notebook: what is shown is told to it, and shown as it says, in place of an address. */

import { effect } from "@preact/signals";

import { now, restore } from "./address";
import { theme, type Theme } from "./theme";

const LATER = 100;
const THEMES: Theme[] = ["system", "light", "dark"];

export function followFrame(): void {
  addEventListener("message", (event: MessageEvent<unknown>) => {
    if (event.source !== parent) return;
    const said = event.data as { camscope?: unknown; shown?: unknown; theme?: unknown } | null;
    if (said?.camscope === "show" && typeof said.shown === "object" && said.shown !== null) restore(said.shown);
    if (said?.camscope === "theme" && THEMES.includes(said.theme as Theme)) theme.value = said.theme as Theme;
  });
  let timer = 0;
  effect(() => {
    const shown = now();
    clearTimeout(timer);
    timer = setTimeout(() => parent.postMessage({ camscope: "shown", shown }, "*"), LATER);
  });
}
