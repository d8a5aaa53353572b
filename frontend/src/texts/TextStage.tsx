/** A field for a text, and its words in the colours of their evidence: a row for each map. */

import { model } from "../engine/models";
import { shortName } from "../engine/pointing";
import { inWords } from "../parts/Bar";
import { Labelled } from "../parts/Labelled";
import { view } from "../state/given";
import { mode, swipe } from "../state/shown";
import { write } from "./leavingOut";
import { agreement, lines, pair } from "./lines";
import type { Text } from "../view";
import { rows, stored, text, top } from "./text";
import { ground, Words } from "./Words";

export function TextStage() {
  return stored.value ? <Stored of={stored.value} /> : <Written />;
}

/** A text of a report. */
function Stored({ of }: { of: Text }) {
  const best = of.top[0];
  return (
    <main class="stage texts stored">
      <header class="photo-head">
        <h1>{of.name}</h1>
        <Labelled of={of} />
        <span class="quiet" aria-live="polite">
          {best && `${shortName(best.name)} ${inWords(best.probability, best.logit)}`}
        </span>
      </header>
      <Read notes={[...of.notes, ...view.value.notes]} />
    </main>
  );
}

/** A field, and what the model says of what is written into it. */
function Written() {
  const best = top.value[0];
  const written = text.value.trim() !== "";
  return (
    <main class="stage texts">
      <header class="photo-head">
        <h1>
          <label for="text">A text</label>
        </h1>
        <span class="quiet" aria-live="polite">
          {written && best && `${shortName(best.name)} ${inWords(best.probability, best.logit)}`}
        </span>
      </header>
      <textarea
        id="text"
        rows={4}
        placeholder={`Write or paste what ${model.value!.name} is to read, or drop a .txt file.`}
        value={text.value}
        onInput={(event) => write(event.currentTarget.value)}
      />
      {written ? (
        <Read notes={rows.value.flatMap((row) => row.answer?.notes ?? [])} />
      ) : (
        <p class="quiet">Its words are coloured as you write: by how much each speaks for what the model says.</p>
      )}
    </main>
  );
}

function Read({ notes }: { notes: string[] }) {
  const differs = mode.value === "difference" && pair.value !== null;
  const r = agreement.value;
  return (
    <>
      {lines.value.map((line) => (
        <Words key={line.key} line={line} />
      ))}
      {rows.value.map(
        (row) =>
          (row.why && !row.old && (
            <p class="warning" role="alert" key={JSON.stringify(row.one)}>
              {row.why}
            </p>
          )) ||
          (!row.answer && (
            <p class="quiet" role="status" key={JSON.stringify(row.one)}>
              The words are being read …
            </p>
          )),
      )}
      {pair.value && mode.value === "swipe" && (
        <input
          class="swipe"
          type="range"
          min="0"
          max="1"
          step="0.01"
          value={swipe.value}
          aria-label="How many words are coloured by the first row"
          onInput={(event) => (swipe.value = event.currentTarget.valueAsNumber)}
        />
      )}
      {lines.value.length > 0 && (
        <p class="legend">
          <span class="word" style={ground(-1)}>
            {differs ? "more in the second" : "against"}
          </span>
          <span class="word" style={ground(1)}>
            {differs ? "more in the first" : "for"}
          </span>
          <span>each row on its own scale</span>
        </p>
      )}
      {r !== null && (
        <p class="agreement">
          {Number.isNaN(r)
            ? "One of the first two rows is the same everywhere."
            : `The first two rows correlate by r = ${r.toFixed(2).replace("-", "−")} over the words.`}
        </p>
      )}
      {[...new Set(notes)].map((note) => (
        <p class="note" key={note}>
          {note}
        </p>
      ))}
    </>
  );
}
