/** Sentences that are shown until they are put away: what was refused, and why. */

import { signal } from "@preact/signals";

export const notices = signal<string[]>([]);

export function tell(sentence: string): void {
  if (!notices.value.includes(sentence)) notices.value = [...notices.value, sentence];
}

export function putAway(sentence: string): void {
  notices.value = notices.value.filter((one) => one !== sentence);
}
