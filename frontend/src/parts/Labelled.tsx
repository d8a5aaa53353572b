/** What a photo or text is labelled as, and whether the model says so too. */

import type { Entry } from "../view";

export function Labelled({ of: { label, wrong } }: { of: Entry }) {
  if (label === null) return null;
  return (
    <span class={wrong ? "tag wrong" : "tag"}>
      labelled {label}
      {wrong && ", the model says otherwise"}
    </span>
  );
}
