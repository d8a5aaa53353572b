/** The mean map of each class: where the model looks for it. */

import { useSignal } from "@preact/signals";

import { Bare } from "./Bare";
import type { Gallery } from "./gallery";
import * as rows from "./rows";
import type { About } from "./rows";
import { useAsked } from "./useAsked";

const BY = { label: "as labelled", top1: "as predicted", target: "as explained", right: "right and wrong" };
const SIDE = 148;
const MOST = 300;

export function Means({ gallery, about }: { gallery: Gallery; about: About }) {
  const by = useSignal<keyof typeof BY>(about.labelled ? "label" : "top1");
  const where = gallery.condition.value;
  const { found, error } = useAsked(
    (stop) => rows.means(gallery.run, by.value === "right" ? "label = top1" : by.value, where, stop),
    [by.value, where],
  );
  const words = (value: string | number | boolean | null) =>
    by.value === "right" ? { true: "right", false: "wrong", null: "without a label" }[String(value)]! : String(value ?? "no value");
  const shown = [...(found.value?.means ?? [])].sort((a, b) => b.count - a.count).slice(0, MOST);
  const choosable = by.value === "label" || by.value === "top1";
  return (
    <div class="means">
      <div class="segments" role="group" aria-label="Mean maps of what">
        {(Object.keys(BY) as (keyof typeof BY)[])
          .filter((one) => about.labelled || (one !== "label" && one !== "right"))
          .map((one) => (
            <button key={one} aria-pressed={by.value === one} onClick={() => (by.value = one)}>
              {BY[one]}
            </button>
          ))}
      </div>
      <p class="quiet">
        The mean of the maps as they are shown, each divided by its own maximum.
        {found.value?.sampled && ` Of ${found.value.count.toLocaleString("en")} rows a sample was taken.`}
        {choosable && " A click shows the photos of a class."}
      </p>
      {error.value && (
        <p class="warning" role="alert">
          {error.value}
        </p>
      )}
      {!found.value && !error.value && <p class="quiet">adding up the maps …</p>}
      <ul class="mean-list">
        {shown.map((mean) => {
          const content = (
            <>
              <Bare values={mean.map.values} shape={mean.map.shape} side={SIDE} words={`The mean map of ${words(mean.value)}`} />
              <b>{words(mean.value)}</b>
              <small>
                {mean.count.toLocaleString("en")} {mean.count === 1 ? "map" : "maps"}
              </small>
            </>
          );
          return (
            <li key={String(mean.value)}>
              {choosable && typeof mean.value === "string" ? (
                <button
                  onClick={() => {
                    gallery.choose({ by: by.value as "label" | "top1", of: mean.value as string });
                    gallery.tab.value = "photos";
                  }}
                >
                  {content}
                </button>
              ) : (
                <div>{content}</div>
              )}
            </li>
          );
        })}
      </ul>
      {found.value && found.value.means.length > MOST && (
        <p class="quiet">The {MOST} most frequent of {found.value.means.length}.</p>
      )}
    </div>
  );
}
