/** Which rows are looked at. */

import { useSignal } from "@preact/signals";

import type { Gallery } from "./gallery";
import type { About } from "./rows";

const MOST_CLASSES = 60;

export function Filters({ gallery, about }: { gallery: Gallery; about: About }) {
  const choice = gallery.choice.value;
  return (
    <aside class={gallery.filters.value ? "rows-filters open" : "rows-filters"} id="rows-filters" aria-label="Which rows">
      {(about.methods.length > 1 || about.layers.length > 1 || about.targets.length > 1) && (
        <section>
          <h2>Maps</h2>
          {about.methods.length > 1 && (
            <Chosen
              name="Method"
              value={choice.method ?? ""}
              of={about.methods.map((one) => [one.name, one.name])}
              choose={(method) => gallery.choose({ method })}
            />
          )}
          {about.layers.length > 1 && (
            <Chosen
              name="Layer"
              value={choice.layer ?? ""}
              of={about.layers.map((one) => [one, one])}
              choose={(layer) => gallery.choose({ layer })}
            />
          )}
          {about.targets.length > 1 && (
            <Chosen
              name="Target"
              value={String(choice.target ?? "")}
              of={about.targets.map((one) => [String(one), one === 0 ? "the first" : `number ${one + 1}`])}
              choose={(target) => gallery.choose({ target: Number(target) })}
            />
          )}
          <p class="quiet">{about.methods.find((one) => one.name === choice.method)?.advice}</p>
        </section>
      )}
      <section>
        <h2>Rows</h2>
        {about.labelled && (
          <label class="tick">
            <input
              type="checkbox"
              checked={choice.wrong}
              onChange={(event) => gallery.choose({ wrong: event.currentTarget.checked })}
            />
            wrong only
          </label>
        )}
        {about.failed > 0 && (
          <label class="tick">
            <input
              type="checkbox"
              checked={choice.failed}
              onChange={(event) => gallery.choose({ failed: event.currentTarget.checked })}
            />
            only the {about.failed.toLocaleString("en")} that could not be explained
          </label>
        )}
        <Sql gallery={gallery} />
      </section>
      <Classes gallery={gallery} labelled={about.labelled} />
    </aside>
  );
}

interface ChosenProps {
  name: string;
  value: string;
  of: [string, string][];
  choose: (value: string) => void;
}

function Chosen({ name, value, of, choose }: ChosenProps) {
  return (
    <label class="row">
      {name}
      <select value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {of.map(([one, words]) => (
          <option key={one} value={one}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}

function Sql({ gallery }: { gallery: Gallery }) {
  const text = useSignal(gallery.choice.value.sql);
  return (
    <form
      class="sql"
      onSubmit={(event) => {
        event.preventDefault();
        gallery.choose({ sql: text.value });
      }}
    >
      <label>
        A condition in SQL
        <textarea
          rows={2}
          spellcheck={false}
          placeholder="ring_share > 0.5 AND top1_probability < 0.9"
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey) return;
            event.preventDefault();
            gallery.choose({ sql: text.value });
          }}
        />
      </label>
      <div class="segments">
        <button type="submit">ask</button>
        {gallery.choice.value.sql && (
          <button
            type="button"
            onClick={() => {
              text.value = "";
              gallery.choose({ sql: "" });
            }}
          >
            without
          </button>
        )}
      </div>
      <details>
        <summary>columns</summary>
        <p class="quiet columns-there">{gallery.about.value?.columns.join(", ")}</p>
      </details>
    </form>
  );
}

function Classes({ gallery, labelled }: { gallery: Gallery; labelled: boolean }) {
  const search = useSignal("");
  const { by, of } = gallery.choice.value;
  const all = (gallery.facets.value?.categories[by] ?? []).flatMap(({ value, count }) =>
    typeof value === "string" ? [{ value, count }] : [],
  );
  const words = search.value.trim().toLowerCase();
  const found = all.filter((one) => one.value.toLowerCase().includes(words));
  const most = Math.max(1, ...found.map((one) => one.count));
  return (
    <section>
      <h2>Classes</h2>
      {labelled && (
        <div class="segments" role="group" aria-label="Which class">
          {(["label", "top1"] as const).map((one) => (
            <button key={one} aria-pressed={by === one} onClick={() => gallery.choose({ by: one, of: null })}>
              {one === "label" ? "as labelled" : "as predicted"}
            </button>
          ))}
        </div>
      )}
      {all.length > 12 && (
        <input
          type="search"
          placeholder="find a class"
          aria-label="Find a class"
          value={search.value}
          onInput={(event) => (search.value = event.currentTarget.value)}
        />
      )}
      <ul class="class-counts">
        {found.slice(0, MOST_CLASSES).map((one) => (
          <li key={one.value}>
            <button
              aria-pressed={of === one.value}
              onClick={() => gallery.choose({ of: of === one.value ? null : one.value })}
            >
              <span>{one.value}</span>
              <span class="bar">
                <i style={{ width: `${(100 * one.count) / most}%` }} />
                <em>{one.count.toLocaleString("en")}</em>
              </span>
            </button>
          </li>
        ))}
      </ul>
      {found.length > MOST_CLASSES && <p class="quiet">{found.length - MOST_CLASSES} more: find them by name.</p>}
    </section>
  );
}
