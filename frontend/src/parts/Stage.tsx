/** The panes: side by side, one with a divider, or the difference of two. */

import * as drawing from "../state/drawing";
import * as given from "../state/given";
import { compared, heat } from "../state/heats";
import * as shown from "../state/shown";
import type { RawMap } from "../view";
import { Legend } from "./Legend";
import { Pane } from "./Pane";

type There = shown.Found & { map: RawMap };

/** What a map is called, among those that are shown. */
const titleOf = (one: There) => one.target?.title ?? "";

function detailOf(one: There, all: There[]): string {
  const number =
    one.target &&
    (one.target.probability === null
      ? one.target.score.toPrecision(3)
      : `${(100 * one.target.probability).toFixed(1)} %`);
  const several = (of: (one: There) => string) => new Set(all.map(of)).size > 1;
  return [
    number,
    ...(several((other) => other.view.model) ? [one.view.model] : []),
    ...(several((other) => other.map.method) || all.length === 1 ? [one.map.method] : []),
    ...(several((other) => other.map.layer) || all.length === 1 ? [one.map.layer] : []),
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

export function Stage() {
  const photo = given.photo.value;
  const maps = shown.maps.value;
  if (!photo) return <main class="stage empty">There is no photo in this report.</main>;
  const signed = drawing.signedColours.value;
  const [first, second] = maps;
  const difference = compared.value;
  const mode = first && second ? shown.mode.value : "side";
  return (
    <main class="stage">
      <header class="photo-head">
        <h1>{photo.name}</h1>
        {photo.label !== null && (
          <span class={photo.wrong ? "tag wrong" : "tag"}>
            labelled {photo.label}
            {photo.wrong && ", the model says otherwise"}
          </span>
        )}
      </header>
      <div class={`panes count-${mode === "side" ? Math.min(maps.length, 4) : 1}`}>
        {mode === "side" &&
          maps.map((one) => (
            <Pane
              key={`${one.one.model} ${one.map.method} ${one.map.layer} ${one.map.target}`}
              photo={one.photo}
              map={one.map}
              heat={heatOf(one)}
              table={drawing.table.value}
              title={titleOf(one)}
              detail={detailOf(one, maps)}
              note={one.map.note}
              signed={signed}
            />
          ))}
        {mode === "swipe" && first && second && (
          <Pane
            photo={photo}
            map={first.map}
            heat={heatOf(first)}
            table={drawing.table.value}
            title={`${titleOf(first)} · ${detailOf(first, maps)}`}
            detail={`left of the divider; right: ${titleOf(second)} · ${detailOf(second, maps)}`}
            signed={signed}
            beside={{ heat: heatOf(second), title: `${titleOf(second)} · ${detailOf(second, maps)}` }}
          />
        )}
        {mode === "difference" && first && second && difference && (
          <Pane
            photo={photo}
            heat={difference.heat}
            table={drawing.differenceTable.value}
            title={between(first, second)}
            detail="each heatmap on its own scale"
            signed={true}
          />
        )}
      </div>
      <Legend mode={mode} />
      {difference && (
        <p class="agreement">
          {Number.isNaN(difference.r)
            ? "One of the first two maps is the same everywhere."
            : `The first two maps correlate by r = ${difference.r.toFixed(2)}.`}
        </p>
      )}
      {[...photo.notes, ...given.view.value.notes].map((note) => (
        <p class="note" key={note}>
          {note}
        </p>
      ))}
    </main>
  );
}
