/** What the model says, and of which class (or place, or caption) the map is. */

import { useSignal } from "@preact/signals";

import { addCaption } from "../engine/captions";
import * as facts from "../engine/facts";
import { model } from "../engine/models";
import { shortName } from "../engine/pointing";
import * as searching from "../engine/searching";
import { photo as chosenPhoto } from "../state/given";
import * as shown from "../state/shown";
import { askFor, rows as rowsOfWords, readsTexts, stored, top } from "../texts/text";
import type { Entry, Target } from "../view";
import { Bar, inWords } from "./Bar";

/** What can be shown: a name, how much the model says it, and how it is asked for. */
interface Row {
  title: string;
  probability: number | null;
  /** null where it is not known. */
  score: number | null;
  ask: string | number | null;
  /** The evidence against it. */
  against: string | null;
}

export function Classes() {
  const rows = isAsked() ? rowsOfText() : rowsOf(looked());
  const kind = facts.places.value?.kind === "instances" ? "detector" : model.value?.kind;
  return (
    <section aria-labelledby="classes">
      <h2 id="classes">What the model says</h2>
      <label class="switch">
        <input
          type="checkbox"
          checked={shown.adding.value}
          onChange={(event) => (shown.adding.value = event.currentTarget.checked)}
        />
        compare several (Shift-click)
      </label>
      <ul class={rows.some((row) => row.against !== null) ? "choices in-line" : "choices"}>
        {rows.map((row) => (
          <Choice key={`${row.title} ${row.ask}`} row={row} />
        ))}
      </ul>
      {kind === "captions" && <Caption />}
      {(kind === "classifier" || kind === "texts") && <Search />}
    </section>
  );
}

/** Whether an engine is asked of a text, word by word as it is written. */
const isAsked = () => readsTexts.value && !stored.value;

/** What is looked at: a photo, or a text of a report. */
const looked = (): Entry => stored.value ?? chosenPhoto.value!;

function rowsOf(photo: Entry): Row[] {
  const engine = photo.id !== undefined;
  const captions = model.value?.kind === "captions";
  const numberOf = (target: Target) => photo.targets.indexOf(target);
  const wordsOrNumber = (target: Target) => shown.wordsOf(target) ?? numberOf(target);
  const rows: Row[] = photo.top.map((one) => {
    const spec = String(one.index);
    const target = photo.targets.find((other) => other.spec === spec);
    const against = photo.targets.find((other) => other.spec === `not:${spec}`);
    return {
      title: target?.title ?? shortName(one.name),
      probability: one.probability,
      score: one.logit,
      ask: target ? (engine ? wordsOrNumber(target) : (target.spec ?? numberOf(target))) : engine ? spec : null,
      against: captions ? null : engine || against ? `not:${spec}` : null,
    };
  });
  const specs = new Set(photo.top.flatMap((one) => [String(one.index), `not:${one.index}`]));
  for (const target of photo.targets) {
    if (target.spec !== null && specs.has(target.spec)) continue;
    const isClass = target.spec !== null && /^\d+$/.test(target.spec);
    rows.push({
      title: target.title,
      probability: target.probability,
      score: target.score,
      ask: engine ? wordsOrNumber(target) : numberOf(target),
      against: engine && isClass ? `not:${target.spec}` : null,
    });
  }
  return rows;
}

/** What the model says of a text. */
const rowsOfText = (): Row[] =>
  top.value.map(({ index, name, probability, logit }) => ({
    title: shortName(name),
    probability,
    score: logit,
    ask: askFor(index),
    against: `not:${index}`,
  }));

function isShown(ask: string | number): boolean {
  if (isAsked()) return rowsOfWords.value.some(({ one }) => one.target === ask);
  const photo = looked();
  const number = shown.targetNumber(photo, ask);
  return shown.shown.value.some((one) => {
    const other = shown.targetNumber(photo, one.target);
    return number === null || other === null ? one.target === ask : other === number;
  });
}

function Choice({ row }: { row: Row }) {
  const { ask, against } = row;
  return (
    <li class="choice">
      <button
        class="main"
        aria-pressed={ask !== null && isShown(ask)}
        disabled={ask === null}
        onClick={(event) => ask !== null && shown.showTarget(ask, shown.adds(event))}
      >
        <span>{row.title}</span>
        {row.score !== null && <Bar share={row.probability} words={inWords(row.probability, row.score)} />}
      </button>
      {against !== null && (
        <button
          class="against"
          aria-pressed={isShown(against)}
          aria-label={`evidence against ${row.title}`}
          title={`evidence against ${row.title}`}
          onClick={(event) => shown.showTarget(against, shown.adds(event))}
        >
          −
        </button>
      )}
    </li>
  );
}

/** How a class that was searched for is asked for. */
const askOf = (index: number) => (readsTexts.value ? askFor(index) : String(index));

function Search() {
  const many = model.value?.classes;
  const { words, results, foundClasses, problem } = searching;
  return (
    <div class="search">
      <input
        type="search"
        placeholder={many ? `search ${many.toLocaleString("en")} classes` : "search classes"}
        aria-label="Search among all classes, by name or number"
        value={words.value}
        onInput={(event) => (words.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          const first = results.value[0];
          if (event.key === "Enter" && first) shown.showTarget(askOf(first.index), shown.adds(event as unknown as MouseEvent));
          if (event.key === "Escape") words.value = "";
        }}
      />
      {problem.value && <p class="warning">{problem.value}</p>}
      {foundClasses.value === 0 && <p class="quiet">No class is called that.</p>}
      {results.value.length > 0 && (
        <ul class="choices found" aria-label="Classes that were found">
          {results.value.map((one) => (
            <Choice
              key={one.index}
              row={{ title: shortName(one.name), probability: null, score: null, ask: askOf(one.index), against: `not:${one.index}` }}
            />
          ))}
        </ul>
      )}
      {(foundClasses.value ?? 0) > results.value.length && (
        <p class="quiet">{foundClasses.value! - results.value.length} more: type more of the name.</p>
      )}
    </div>
  );
}

function Caption() {
  const words = useSignal("");
  return (
    <form
      class="caption"
      onSubmit={(event) => {
        event.preventDefault();
        const caption = words.value.trim();
        if (!caption) return;
        addCaption(caption, shown.adding.value);
        words.value = "";
      }}
    >
      <input
        type="text"
        placeholder="a photo of a cat"
        aria-label="A caption to look for"
        value={words.value}
        onInput={(event) => (words.value = event.currentTarget.value)}
      />
      <button type="submit">compare</button>
    </form>
  );
}
