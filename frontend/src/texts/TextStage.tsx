/** A field for a text, and its words in the colours of their evidence: a row for each map. */

import { model } from "../engine/models";
import { shortName } from "../engine/pointing";
import { inWords } from "../parts/Bar";
import { show } from "../state/shown";
import type { TextAnswer, TextMap } from "../engine/api";
import { pointedWord, rows, text, top, type Row } from "./text";

/** The share of colour below the strongest word: ink on it stays readable, in light and in dark. */
const STRONGEST = 62;

export function TextStage() {
  const best = top.value[0];
  return (
    <main class="stage texts">
      <header class="photo-head">
        <h1>
          <label for="text">A text</label>
        </h1>
        <span class="quiet" aria-live="polite">
          {text.value.trim() && best && `${shortName(best.name)} ${inWords(best.probability, best.logit)}`}
        </span>
      </header>
      <textarea
        id="text"
        rows={4}
        placeholder={`Write or paste what ${model.value!.name} is to read.`}
        value={text.value}
        onInput={(event) => (text.value = event.currentTarget.value)}
      />
      {text.value.trim() === "" ? (
        <p class="quiet">Its words are coloured as you write: by how much each speaks for what the model says.</p>
      ) : (
        <>
          {rows.value.map((row) => (
            <Words key={JSON.stringify(row.one)} row={row} />
          ))}
          <p class="legend">
            <span class="word" style={ground(-1)}>
              against
            </span>
            <span class="word" style={ground(1)}>
              for
            </span>
            <span>each row on its own scale</span>
          </p>
          {[...new Set(rows.value.flatMap((row) => row.answer?.notes ?? []))].map((note) => (
            <p class="note" key={note}>
              {note}
            </p>
          ))}
        </>
      )}
    </main>
  );
}

function Words({ row }: { row: Row }) {
  const { one, answer, map, target } = row;
  if (row.why && !row.old)
    return (
      <p class="warning" role="alert">
        {row.why}
      </p>
    );
  if (!answer || !map || !target)
    return (
      <p class="quiet" role="status">
        The words are being read …
      </p>
    );
  const against = typeof one.target === "string" && one.target.startsWith("not:");
  const detail = [...(against ? [] : [inWords(target.probability, target.score)]), map.method, map.layer].join(" · ");
  const step = (by: number) => {
    const at = pointedWord.value ?? (by > 0 ? -1 : answer.words.length);
    pointedWord.value = Math.min(Math.max(at + by, 0), answer.words.length - 1);
  };
  return (
    <figure class="pane">
      <figcaption>
        <strong>{target.title}</strong>
        <span>{detail}</span>
        {rows.value.length > 1 && (
          <button class="remove" aria-label={`take ${target.title} ${detail} away`} title="take this row away" onClick={() => show(one, true)}>
            ×
          </button>
        )}
      </figcaption>
      <div
        class={row.old ? "words measuring" : "words"}
        dir="auto"
        tabIndex={0}
        role="group"
        aria-label={`${target.title} ${detail}: arrow keys point at the words`}
        onPointerLeave={() => (pointedWord.value = null)}
        onBlur={() => (pointedWord.value = null)}
        onKeyDown={(event) => {
          const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          if (by === undefined) return;
          event.preventDefault();
          step(by);
        }}
      >
        {coloured(answer, map)}
      </div>
      <Reading answer={answer} map={map} title={target.title} />
      {map.note && <p class="warning">{map.note}</p>}
    </figure>
  );
}

function coloured(answer: TextAnswer, map: TextMap) {
  const most = Math.max(...map.evidence.map((value) => Math.abs(value ?? 0)));
  return answer.words.map((word, at) => (
    <>
      {at > 0 && !word.glued && " "}
      <span
        key={at}
        class={at === pointedWord.value ? "word pointed" : "word"}
        style={ground(most > 0 ? (map.evidence[at] ?? 0) / most : 0)}
        onPointerEnter={() => (pointedWord.value = at)}
      >
        {word.text}
      </span>
    </>
  ));
}

/** The ground of a word of that strength, −1 … 1. */
const ground = (strength: number) => ({
  background: `color-mix(in srgb, var(${strength < 0 ? "--against" : "--for"}) ${(STRONGEST * Math.abs(strength)).toFixed(1)}%, transparent)`,
});

function Reading({ answer, map, title }: { answer: TextAnswer; map: TextMap; title: string }) {
  const at = pointedWord.value;
  const word = at === null ? undefined : answer.words[at];
  if (at === null || !word) return <p class="reading quiet">point at a word for its value</p>;
  const value = map.evidence[at] ?? null;
  return (
    <p class="reading" aria-live="polite">
      <span>
        <b>{value === null ? "no number" : value.toPrecision(3).replace("-", "−")}</b> {word.text}
        {value !== null && value !== 0 && ` speaks ${value > 0 ? "for" : "against"} ${title}`}
      </span>
    </p>
  );
}
