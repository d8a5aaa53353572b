/** What keys do. */

import { peek } from "./state/drawing";
import { step } from "./state/listing";

const typing = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.matches("input:not([type=range]):not([type=checkbox]), select, textarea");
const pressing = (target: EventTarget | null) => target instanceof HTMLElement && target.matches("button, summary, a");

export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === " " && !pressing(event.target)) {
      peek.value = true;
      event.preventDefault();
    }
  });
  addEventListener("keyup", (event) => {
    if (event.key === " ") peek.value = false;
  });
  addEventListener("blur", () => (peek.value = false));
}
