/** The panes: side by side, one with a divider, or the difference of two. */

import * as state from "../state";
import type { Photo, RawMap } from "../view";
import { Legend } from "./Legend";
import { Pane } from "./Pane";

/** What a map is called, among those that are shown. */
function titleOf(photo: Photo, map: RawMap): string {
  return photo.targets[map.target]?.title ?? "";
}

function detailOf(photo: Photo, map: RawMap, all: RawMap[]): string {
  const target = photo.targets[map.target];
  const number =
    target && (target.probability === null ? target.score.toPrecision(3) : `${(100 * target.probability).toFixed(1)} %`);
  const several = (of: (one: RawMap) => string) => new Set(all.map(of)).size > 1;
  return [
    number,
    ...(several((one) => one.method) || all.length === 1 ? [map.method] : []),
    ...(several((one) => one.layer) || all.length === 1 ? [map.layer] : []),
  ]
    .filter(Boolean)
    .join(" · ");
}

/** What is taken from what: by what tells the two maps apart. */
function between(first: RawMap, second: RawMap, photo: Photo): string {
  const facts = [
    (map: RawMap) => titleOf(photo, map),
    (map: RawMap) => map.method,
    (map: RawMap) => map.layer,
  ].filter((fact) => fact(first) !== fact(second));
  const words = (map: RawMap) => facts.map((fact) => fact(map)).join(" · ");
  return `${words(first)} less ${words(second)}`;
}

export function Stage() {
  const photo = state.photo.value;
  const maps = state.maps.value;
  if (!photo) return <main class="stage empty">There is no photo in this report.</main>;
  const signed = state.signedColours.value;
  const [first, second] = maps;
  const difference = state.compared.value;
  const mode = first && second ? state.mode.value : "side";
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
          maps.map((map) => (
            <Pane
              key={`${map.method} ${map.layer} ${map.target}`}
              photo={photo}
              map={map}
              heat={state.heat(photo, map, state.scale.value)}
              table={state.table.value}
              title={titleOf(photo, map)}
              detail={detailOf(photo, map, maps)}
              note={map.note}
              signed={signed}
            />
          ))}
        {mode === "swipe" && first && second && (
          <Pane
            photo={photo}
            map={first}
            heat={state.heat(photo, first, state.scale.value)}
            table={state.table.value}
            title={`${titleOf(photo, first)} · ${detailOf(photo, first, maps)}`}
            detail={`left of the divider; right: ${titleOf(photo, second)} · ${detailOf(photo, second, maps)}`}
            signed={signed}
            beside={{
              heat: state.heat(photo, second, state.scale.value),
              title: `${titleOf(photo, second)} · ${detailOf(photo, second, maps)}`,
            }}
          />
        )}
        {mode === "difference" && first && second && difference && (
          <Pane
            photo={photo}
            heat={difference.heat}
            table={state.differenceTable.value}
            title={between(first, second, photo)}
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
      {[...photo.notes, ...state.view.value.notes].map((note) => (
        <p class="note" key={note}>
          {note}
        </p>
      ))}
    </main>
  );
}
