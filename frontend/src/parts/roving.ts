/** One stop for Tab in a long list of buttons: arrow keys go through them. */

import { useSignal } from "@preact/signals";

const WAYS: Record<string, (at: number, count: number) => number> = {
  ArrowDown: (at, count) => Math.min(at + 1, count - 1),
  ArrowUp: (at) => Math.max(at - 1, 0),
  Home: () => 0,
  End: (_at, count) => count - 1,
};

/**
 * What the list and its buttons need.
 *
 * @param names of the buttons, in their order.
 * @param chosen of these the one that Tab comes to first; the first of all if it is none of them.
 */
export function useRoving(names: string[], chosen: string | undefined) {
  const last = useSignal("");
  const stop = [last.value, chosen].find((one) => one !== undefined && names.includes(one)) ?? names[0];
  return {
    list: {
      onKeyDown: (event: KeyboardEvent) => {
        const buttons = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("button.main")];
        const at = buttons.indexOf(event.target as HTMLElement);
        const way = WAYS[event.key];
        if (at < 0 || !way) return;
        event.preventDefault();
        buttons[way(at, buttons.length)]!.focus();
      },
    },
    button: (name: string) => ({ tabIndex: name === stop ? 0 : -1, onFocus: () => (last.value = name) }),
  };
}
