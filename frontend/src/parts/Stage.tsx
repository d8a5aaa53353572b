/** The panes: side by side, one with a divider, or the difference of two. */

import { askAgain, keyOf, lacksCaptions, refused, seconds } from "../engine/explaining";
import { engine, model } from "../engine/models";
import * as drawing from "../state/drawing";
import * as given from "../state/given";
import { compared, heat } from "../state/heats";
import * as shown from "../state/shown";
import { tool } from "../state/tool";
import { readsTexts } from "../texts/text";
import { TextStage } from "../texts/TextStage";
import { isAgainst, type Photo, type RawMap } from "../view";
import { inWords, percent } from "./Bar";
import { Choices } from "./Choices";
import { Labelled } from "./Labelled";
import { Legend } from "./Legend";
import { DropZone } from "./DropZone";
import { Pane } from "./Pane";

type There = shown.Found & { map: RawMap };

/** What a map is called, among those that are shown. */
export function titleOf(one: shown.Found): string {
  if (one.target) return one.target.title;
  const { target } = one.one;
  return typeof target === "number" ? "what the model says" : (one.photo.top.find((top) => String(top.index) === target)?.name ?? "");
}

export function detailOf(one: shown.Found, all: shown.Found[]): string {
  const several = (of: (one: shown.Found) => string) => new Set(all.map(of)).size > 1;
  return [
    one.target && !isAgainst(one.target) && inWords(one.target.probability, one.target.score),
    ...(several((other) => other.view.model) ? [one.view.model] : []),
    ...(several((other) => other.one.method) || all.length === 1 ? [one.one.method] : []),
    ...(several((other) => other.one.layer) || all.length === 1 ? [one.one.layer] : []),
  ]
    .filter(Boolean)
    .join(" · ");
}

/** What is taken from what: by what tells the two maps apart. */
function between(first: There, second: There): string {
  const facts = [
    titleOf,
    (one: There) => one.view.model,
    (one: There) => one.map.method,
    (one: There) => one.map.layer,
  ].filter((fact) => fact(first) !== fact(second));
  const words = (one: There) => facts.map((fact) => fact(one)).join(" · ");
  return `${words(first)} less ${words(second)}`;
}

const heatOf = (one: There) => heat(one.view, one.photo, one.map, drawing.scale.value);

/** What stands over the photo as long as there is no map. */
function Meanwhile({ of }: { of: shown.Found }) {
  if (of.map) return null;
  if (lacksCaptions(of.one)) return <p class="meanwhile">Write captions: the photo is compared with them.</p>;
  const why = of.photo.id === undefined ? "This map is not in the report." : refused.value.get(keyOf(of.photo.id, of.one));
  if (why)
    return (
      <p class="meanwhile wrong" role="alert">
        {why}{" "}
        {of.photo.id !== undefined && (
          <button class="link" onClick={askAgain}>
            ask again
          </button>
        )}
      </p>
    );
  const by = engine.value?.models[of.one.model];
  if (by?.status === "failed")
    return <p class="meanwhile wrong">{by.name} cannot be asked: the reason stands under “Model”.</p>;
  const what = of.one.method || by?.default_method || "the map";
  return (
    <p class="meanwhile" role="status">
      {by?.status === "loading" ? `${by.name} is being loaded …` : `${what} is being made …`}
    </p>
  );
}

export function Stage() {
  if (readsTexts.value) return <TextStage />;
  const photo = given.photo.value;
  if (!photo) return <DropZone />;
  const all = shown.found.value;
  const maps = shown.maps.value;
  const signed = drawing.signedColours.value;
  const [first, second] = maps;
  const difference = compared.value;
  const mode = first && second ? shown.mode.value : "side";
  return (
    <main class="stage">
      <header class="photo-head">
        <h1>{photo.name}</h1>
        <Labelled of={photo} />
        <Chosen />
        {photo.id !== undefined && <Tools />}
      </header>
      <div class={`panes count-${mode === "side" ? Math.min(all.length, 4) : 1}${photo.axes ? " wide" : ""}`}>
        {mode === "side" &&
          all.map((one, number) => (
            <Pane
              key={number}
              of={one}
              heat={one.map ? heatOf(one as There) : null}
              table={drawing.table.value}
              title={titleOf(one)}
              detail={detailOf(one, all)}
              signed={signed}
              ofMap
              meanwhile={<Meanwhile of={one} />}
              {...(all.length > 1 ? { remove: () => shown.show(one.one, true) } : {})}
            />
          ))}
        {mode === "swipe" && first && second && (
          <Pane
            of={first}
            heat={heatOf(first)}
            table={drawing.table.value}
            title={`${titleOf(first)} · ${detailOf(first, maps)}`}
            detail={`left of the divider; right: ${titleOf(second)} · ${detailOf(second, maps)}`}
            signed={signed}
            ofMap
            beside={{ heat: heatOf(second), title: `${titleOf(second)} · ${detailOf(second, maps)}` }}
          />
        )}
        {mode === "difference" && first && second && difference && (
          <Pane
            of={first}
            heat={difference.heat}
            table={drawing.differenceTable.value}
            title={between(first, second)}
            detail="each heatmap on its own scale"
            signed
            ofMap={false}
          />
        )}
      </div>
      {first && <Legend mode={mode} />}
      {difference && (
        <p class="agreement">
          {Number.isNaN(difference.r)
            ? "One of the first two maps is the same everywhere."
            : `The first two maps correlate by r = ${difference.r.toFixed(2).replace("-", "−")}.`}
          {maps.length > 2 && mode !== "side" && ` ${mode === "swipe" ? "Swiped" : "Compared"} are the first two of ${maps.length}.`}
        </p>
      )}
      {notesOf(photo, maps).map((note) => (
        <p class="note" key={note}>
          {note}
        </p>
      ))}
    </main>
  );
}

/** What a careful reader should be told of what is shown. */
function notesOf(photo: Photo, maps: There[]): string[] {
  return [...new Set([...photo.notes, ...given.view.value.notes, ...maps.flatMap((one) => one.map.notes ?? [])])];
}

/** What the model says and how long its map took, in one line. */
function Chosen() {
  const best = given.photo.value?.top[0];
  if (!best || given.photo.value?.id === undefined) return null;
  return (
    <span class="quiet" aria-live="polite">
      {best.name}
      {best.probability !== null && ` ${percent(best.probability)}`}
      {seconds.value !== null && ` · ${seconds.value < 1 ? `${Math.max(1, Math.round(1000 * seconds.value))} ms` : `${seconds.value.toFixed(1)} s`}`}
    </span>
  );
}

function Tools() {
  const detects = model.value?.kind === "detector";
  return (
    <div class="tools">
      <Choices
        name="What the pointer does"
        value={tool.value}
        of={{ look: "look", brush: "brush", ...(detects ? { box: "draw a box" } : {}) } as Record<"look" | "brush" | "box", string>}
        choose={(one) => (tool.value = one)}
      />
    </div>
  );
}
