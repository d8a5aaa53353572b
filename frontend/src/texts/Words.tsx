/** A row of words in the colours of their evidence: pointed at for their values, brushed away to see what changes. */

import { percent } from "../parts/Bar";
import { show } from "../state/shown";
import { beginStroke, brush, isGone, leftOut, toggle } from "./leavingOut";
import { divider, isColoured, left, lines, type Line } from "./lines";
import { pointedWord, stored } from "./text";

/** The share of colour below the strongest word: ink on it stays readable, in light and in dark. */
export const STRONGEST = 62;

/** Whether words that the pointer passes over are brushed; null while none is. */
let painting: boolean | null = null;

export function Words({ line }: { line: Line }) {
  const { title, detail, words, of } = line;
  return (
    <figure class="pane">
      <figcaption>
        <strong>{title}</strong>
        <span>{detail}</span>
        {of && lines.value.length > 1 && (
          <button class="remove" aria-label={`take ${title} ${detail} away`} title="take this row away" onClick={() => show(of, true)}>
            ×
          </button>
        )}
      </figcaption>
      <div
        class={line.old ? "words measuring" : "words"}
        dir="auto"
        tabIndex={0}
        role="group"
        aria-label={`${title} ${detail}: arrow keys point at the words${stored.value ? "" : ", Enter leaves one out"}`}
        onPointerLeave={() => (pointedWord.value = null)}
        onBlur={() => (pointedWord.value = null)}
        onKeyDown={(event) => onKey(event, words.length)}
      >
        {words.map((word, at) => (
          <>
            {at > 0 && !word.glued && " "}
            {line.key === "swipe" && at === divider.value && at > 0 && <i class="word-divider" aria-hidden="true" />}
            <span
              key={at}
              class={`word${at === pointedWord.value ? " pointed" : ""}${isGone(at) ? " gone" : ""}`}
              style={ground(isColoured(line.strengths[at]!) ? line.strengths[at]! : 0)}
              onPointerEnter={(event) => {
                pointedWord.value = at;
                if (event.buttons & 1 && painting !== null) brush(at, painting);
              }}
              onPointerDown={(event) => {
                if (event.button !== 0 || line.old || stored.value) return;
                event.currentTarget.releasePointerCapture?.(event.pointerId); // a finger paints on, too
                painting = !leftOut.value.has(at);
                beginStroke();
                brush(at, painting);
              }}
            >
              {word.text}
            </span>
          </>
        ))}
      </div>
      <Reading line={line} />
      {line.note && <p class="warning">{line.note}</p>}
    </figure>
  );
}

function onKey(event: KeyboardEvent, count: number): void {
  const at = pointedWord.value;
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (by !== undefined) pointedWord.value = Math.min(Math.max((at ?? (by > 0 ? -1 : count)) + by, 0), count - 1);
  else if ((event.key === "Enter" || event.key === " ") && at !== null && !stored.value) toggle(at);
  else return;
  event.preventDefault();
}

/** The ground of a word of that strength, −1 … 1. */
export const ground = (strength: number) => ({
  background: `color-mix(in srgb, var(${strength < 0 ? "--against" : "--for"}) ${(STRONGEST * Math.abs(strength)).toFixed(1)}%, transparent)`,
});

function Reading({ line }: { line: Line }) {
  const at = pointedWord.value;
  const kept = left(line);
  const said = at === null || at >= line.words.length ? null : line.says(at);
  return (
    <p class="reading" aria-live="polite">
      {said ? (
        <span>
          <b>{said.value}</b> {said.words}
          {isGone(at!) && " · left out"}
        </span>
      ) : (
        <span class="quiet">point at a word for its value{stored.value ? "" : ", click it to leave it out"}</span>
      )}
      {kept && (
        <span>
          shown: {kept.words} of {line.words.length} words, {percent(kept.mass, 0)} of the mass
        </span>
      )}
    </p>
  );
}
