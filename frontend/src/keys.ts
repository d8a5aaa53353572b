/** What keys do. */

import * as state from "./state";

const typing = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
const pressing = (target: EventTarget | null) => target instanceof HTMLElement && target.matches("button, summary, a");

export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j") state.step(1);
    else if (event.key === "k") state.step(-1);
    else if (event.key === " " && !pressing(event.target)) {
      state.peek.value = true;
      event.preventDefault();
    }
  });
  addEventListener("keyup", (event) => {
    if (event.key === " ") state.peek.value = false;
  });
  addEventListener("blur", () => (state.peek.value = false));
}
