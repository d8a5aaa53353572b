/** The list of photos or texts: only the rows that are in sight are drawn. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { pictureOf } from "../engine/api";
import * as given from "../state/given";
import * as listing from "../state/listing";
import { entriesOf, type Photo } from "../view";

const ROW = 64;
const MARGIN = 6;

const smallPicture = (photo: Photo) => (photo.id === undefined ? photo.picture : pictureOf(photo.id, 128));

export function Photos() {
  const list = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(600);
  const numbers = listing.listed.value;
  const at = numbers.indexOf(given.photoNumber.value);
  useEffect(() => {
    const element = list.current;
    if (!element) return;
    const look = new ResizeObserver(() => (height.value = element.clientHeight));
    look.observe(element);
    return () => look.disconnect();
  }, []);
  useEffect(() => {
    const element = list.current;
    if (!element || at < 0) return;
    if (at * ROW < element.scrollTop) element.scrollTop = at * ROW;
    if ((at + 1) * ROW > element.scrollTop + element.clientHeight)
      element.scrollTop = (at + 1) * ROW - element.clientHeight;
  }, [at]);
  const first = Math.max(0, Math.floor(top.value / ROW) - MARGIN);
  const last = Math.min(numbers.length, Math.ceil((top.value + height.value) / ROW) + MARGIN);
  const entries = entriesOf(given.view.value);
  const noun = given.view.value.texts ? "texts" : "photos";
  return (
    <nav class="photos" aria-label={given.view.value.texts ? "Texts" : "Photos"}>
      <div class="filters">
        <input
          type="search"
          placeholder="name, label or class"
          aria-label="Search by name, label or class"
          value={listing.search.value}
          onInput={(event) => (listing.search.value = event.currentTarget.value)}
        />
        <select
          aria-label={`Order of the ${noun}`}
          value={listing.order.value}
          onChange={(event) => (listing.order.value = event.currentTarget.value as listing.Order)}
        >
          <option value="given">as given</option>
          <option value="sure">most sure first</option>
          <option value="unsure">least sure first</option>
          <option value="name">by name</option>
        </select>
        {entries.some((one) => one.wrong !== null) && (
          <label>
            <input
              type="checkbox"
              checked={listing.onlyWrong.value}
              onChange={(event) => (listing.onlyWrong.value = event.currentTarget.checked)}
            />
            wrong only
          </label>
        )}
        <p class="quiet">
          {numbers.length} of {entries.length} {noun} · j and k go on and back
        </p>
      </div>
      <div class="list" ref={list} onScroll={(event) => (top.value = event.currentTarget.scrollTop)}>
        <ul style={{ height: `${numbers.length * ROW}px` }}>
          {numbers.slice(first, last).map((number, i) => {
            const entry = entries[number]!;
            const best = entry.top[0];
            return (
              <li key={number} style={{ top: `${(first + i) * ROW}px`, height: `${ROW}px` }}>
                <button
                  aria-current={number === given.photoNumber.value}
                  onClick={() => listing.goTo(number)}
                >
                  {!given.view.value.texts && <img src={smallPicture(given.view.value.photos[number]!)} alt="" loading="lazy" />}
                  <span>
                    <b>{entry.name}</b>
                    <small class={entry.wrong ? "wrong" : ""}>
                      {best?.name}
                      {best?.probability != null && ` ${(100 * best.probability).toFixed(0)} %`}
                    </small>
                  </span>
                </button>
              </li>
            );
          })}
        </ul>
      </div>
    </nav>
  );
}
