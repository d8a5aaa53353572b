/** A run: its photos, the mean maps of its classes, and what the model looked at in all of them. */

import { useEffect } from "preact/hooks";

import { Legend } from "../parts/Legend";
import { Range } from "../parts/Range";
import * as drawing from "../state/drawing";
import { commandOf, pythonOf } from "./asked";
import { Filters } from "./Filters";
import { galleryOf, TABS, type Gallery, type Tab } from "./gallery";
import { Grid } from "./Grid";
import { Means } from "./Means";
import type { About, Card } from "./rows";
import { Scatter } from "./Scatter";

export function RunPage({ run, open }: { run: string; open: (run: string, card: Card) => void }) {
  const gallery = galleryOf(run);
  const about = gallery.about.value;
  const openCard = (card: Card) => open(run, card);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => onKey(event, gallery, openCard);
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [run]);
  if (!about)
    return (
      <main class="stage empty">
        {gallery.error.value ? <p role="alert">{gallery.error.value}</p> : <p class="quiet">opening the run …</p>}
      </main>
    );
  return (
    <div class="run-page">
      <Filters gallery={gallery} about={about} />
      <main class="rows-main">
        <Bar gallery={gallery} about={about} />
        {gallery.error.value && (
          <p class="warning" role="alert">
            {gallery.error.value}
          </p>
        )}
        {gallery.order.value.missing && gallery.tab.value === "photos" && (
          <p class="note" role="status">
            {gallery.order.value.missing}
          </p>
        )}
        {gallery.gone.value > 0 && gallery.tab.value === "photos" && (
          <p class="note" role="status">
            Photos of this run are not where they were, or have changed since. Their maps are shown without them.
          </p>
        )}
        <div class="rows-tab" role="tabpanel" aria-label={TABS[gallery.tab.value]}>
          {gallery.tab.value === "photos" && <Photos gallery={gallery} open={openCard} />}
          {gallery.tab.value === "means" && <Means gallery={gallery} about={about} />}
          {gallery.tab.value === "points" && <Scatter gallery={gallery} about={about} open={openCard} />}
        </div>
      </main>
    </div>
  );
}

function Photos({ gallery, open }: { gallery: Gallery; open: (card: Card) => void }) {
  if (gallery.count.value === 0)
    return <p class="empty quiet">No row is so. {gallery.choice.value.sql && "The condition may be too narrow."}</p>;
  return (
    <>
      {gallery.count.value === null && !gallery.error.value && (
        <p class="pending quiet">The rows are being found …</p>
      )}
      <Grid gallery={gallery} open={open} />
      <footer class="rows-foot">
        <Legend mode="side" />
        <details>
          <summary>The lines that make this</summary>
          <pre>{pythonOf(gallery)}</pre>
          <pre>{commandOf(gallery)}</pre>
        </details>
      </footer>
    </>
  );
}

function Bar({ gallery, about }: { gallery: Gallery; about: About }) {
  const count = gallery.count.value;
  const order = gallery.order.value;
  const orders = gallery.orders();
  return (
    <header class="rows-bar">
      <div class="rows-title">
        <h1>{about.name}</h1>
        <p class="quiet" aria-live="polite">
          {count === null ? (gallery.error.value ? "none" : "…") : count.toLocaleString("en")} of {about.rows.toLocaleString("en")} rows · {about.model}
        </p>
        {!about.complete && (
          <p class="quiet following" role="status">
            <progress max={about.shards.of} value={about.shards.there} aria-label="How far the run is" /> being written:{" "}
            {about.shards.there} of {about.shards.of} parts
          </p>
        )}
      </div>
      <button
        class="plain narrow"
        aria-expanded={gallery.filters.value}
        aria-controls="rows-filters"
        onClick={() => (gallery.filters.value = !gallery.filters.value)}
      >
        which rows {gallery.filters.value ? "▴" : "▾"}
      </button>
      <div class="segments" role="tablist" aria-label="How the run is shown">
        {(Object.keys(TABS) as Tab[]).map((tab) => (
          <button
            key={tab}
            role="tab"
            aria-selected={gallery.tab.value === tab}
            onClick={() => (gallery.tab.value = tab)}
          >
            {TABS[tab]}
          </button>
        ))}
      </div>
      {gallery.tab.value === "photos" && (
        <div class="rows-tools">
          <label>
            Sort
            <select
              value={order.words}
              onChange={(event) =>
                (gallery.order.value = orders.find((one) => one.words === event.currentTarget.value) ?? order)
              }
            >
              {orders.map((one) => (
                <option key={one.words} value={one.words}>
                  {one.words.replaceAll("_", " ")}
                </option>
              ))}
            </select>
          </label>
          <button
            class="plain"
            aria-label={`${order.descending ? "Largest" : "Smallest"} first; turn around`}
            title="turn the order around"
            disabled={!order.sort}
            onClick={() => (gallery.order.value = { ...order, descending: !order.descending })}
          >
            {order.descending ? "↓" : "↑"}
          </button>
          <Range name="Maps" label="Opacity of the maps" of={drawing.opacity} />
          <Range name="Size" label="Size of the tiles" of={gallery.side} min={96} max={360} step={8} />
        </div>
      )}
      <Chips gallery={gallery} />
    </header>
  );
}

/** What narrows the rows, each with a way to take it off. */
function Chips({ gallery }: { gallery: Gallery }) {
  const choice = gallery.choice.value;
  const chips: [string, () => void][] = [
    ...(gallery.among.value
      ? [[`${gallery.among.value.length} drawn around`, () => (gallery.among.value = null)] as [string, () => void]]
      : []),
    ...(choice.of === null
      ? []
      : [[`${choice.by === "label" ? "labelled" : "predicted"} ${choice.of}`, () => gallery.choose({ of: null })] as [string, () => void]]),
    ...(choice.wrong ? [["wrong only", () => gallery.choose({ wrong: false })] as [string, () => void]] : []),
  ];
  if (!chips.length) return null;
  return (
    <ul class="chips" aria-label="What narrows the rows">
      {chips.map(([words, off]) => (
        <li key={words}>
          <button onClick={off} aria-label={`${words}: take it off`}>
            {words} <span aria-hidden="true">×</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function onKey(event: KeyboardEvent, gallery: Gallery, open: (card: Card) => void): void {
  const on = event.target instanceof HTMLElement ? event.target : null;
  if (on?.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (gallery.tab.value !== "photos") return;
  const columns = gallery.columns.value;
  const inTiles = on === document.body || on?.closest(".tiles, .places");
  const steps: Record<string, number> = {
    j: 1,
    k: -1,
    ...(inTiles ? { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: 4 * columns, PageUp: -4 * columns } : {}),
  };
  const by = steps[event.key];
  if (by !== undefined) {
    gallery.takesFocus = true;
    gallery.step(by);
    event.preventDefault();
  } else if (inTiles && event.key === "Home") gallery.step(-Infinity);
  else if (inTiles && event.key === "End") gallery.step(Infinity);
  else if (event.key === "Enter" && on === document.body) {
    const card = gallery.at(gallery.current.value);
    if (card) open(card);
  }
}
