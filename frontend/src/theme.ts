/** Light or dark: as the system has it, or as a person chose here. */

import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

export const theme = signal<Theme>("system");

const SCHEMES: Record<Theme, string> = { system: "light dark", light: "light", dark: "dark" };

export function followTheme(): void {
  effect(() => {
    document.documentElement.style.colorScheme = SCHEMES[theme.value];
  });
}
