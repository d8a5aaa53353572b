/** One row: the photo with its map, and what the model says. */

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";

import { paint } from "../maps/colours";
import * as drawing from "../state/drawing";
import type { Gallery } from "./gallery";
import { nameOf, pictureAddress, type Card } from "./rows";
import { resized, smallHeat } from "./small";

/** Pixels of a photo along its longer side. */
const PICTURE = 256;
const MOST_CELLS = 240;

export const percent = (share: number | null): string =>
  share === null ? "" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

interface Props {
  gallery: Gallery;
  card: Card | null;
  index: number;
  side: number;
  current: boolean;
  open: (card: Card) => void;
}

export function Tile({ gallery, card, index, side, current, open }: Props) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    // keys may be faster than effects: what is no longer current must not take the focus, nor become current by it
    if (!current || gallery.current.peek() !== index || !button.current) return;
    if (!gallery.takesFocus && !document.activeElement?.closest(".tiles")) return;
    gallery.takesFocus = false;
    button.current.focus({ preventScroll: true });
  }, [current, card]);
  if (!card) return <div class="tile waiting" style={{ height: `${side}px` }} aria-hidden="true" />;
  const shows = gallery.order.value.shows;
  const value = shows === null ? null : card[shows];
  return (
    <button
      ref={button}
      class="tile"
      tabIndex={current ? 0 : -1}
      aria-current={current}
      aria-label={wordsOf(card)}
      onClick={() => {
        gallery.current.value = index;
        open(card);
      }}
      onFocus={() => (gallery.current.value = index)}
    >
      <span class="square" style={{ height: `${side}px` }}>
        {card.status === "failed" ? <span class="reason">{card.reason}</span> : <Picture {...{ gallery, card, side }} />}
      </span>
      <span class="words">
        <b>{card.top1 ?? "not explained"}</b>
        <span class="number">{percent(card.top1_probability)}</span>
        {card.label !== null && card.top1 !== null && card.label !== card.top1 ? (
          <small class="wrong">labelled {card.label}</small>
        ) : (
          <small>{nameOf(card)}</small>
        )}
        {typeof value === "number" && shows !== null && (
          <small class="number" title={shows}>
            {shows.replaceAll("_", " ")} {value.toPrecision(2).replace("-", "−")}
          </small>
        )}
      </span>
    </button>
  );
}

function wordsOf(card: Card): string {
  if (card.status === "failed") return `${nameOf(card)}: could not be explained. ${card.reason ?? ""}`;
  const label = card.label !== null && card.label !== card.top1 ? `, labelled ${card.label}` : "";
  return `${nameOf(card)}: ${card.top1 ?? ""} ${percent(card.top1_probability)}${label}. Enter opens it.`;
}

function Picture({ gallery, card, side }: { gallery: Gallery; card: Card; side: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const lost = useSignal(false);
  const heat = useMemo(
    () =>
      card.map && card.geometry
        ? smallHeat(card.map, card.geometry, Math.min(side, MOST_CELLS), gallery.isRectified(card.method))
        : null,
    [card, side],
  );
  const table = drawing.table.value;
  useEffect(() => {
    if (canvas.current && heat) paint(canvas.current, heat, table);
  }, [heat, table]);
  const [height, width] = card.geometry ? resized(card.geometry, side).photo_size : [side, side];
  const size = { width: `${width}px`, height: `${height}px` };
  return (
    <span class={lost.value ? "photo lost" : "photo"} style={size}>
      {!lost.value && (
        <img
          src={pictureAddress(gallery.run, card.id, PICTURE)}
          alt=""
          decoding="async"
          onError={() => {
            lost.value = true;
            gallery.gone.value++;
          }}
        />
      )}
      {heat && <canvas ref={canvas} />}
      {card.status !== "ok" && <span class="badge">{card.status}</span>}
      {lost.value && <span class="badge">no photo</span>}
    </span>
  );
}
