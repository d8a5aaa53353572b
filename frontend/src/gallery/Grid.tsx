/** The rows as tiles: only those in sight are there, of as many rows as there are. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import type { Gallery } from "./gallery";
import { LongScroll } from "./long";
import type { Card } from "./rows";
import { Tile } from "./Tile";

const GAP = 12;
/** Of the words below a tile. */
const WORDS = 46;
const MARGIN = 1;
/** On a telephone two tiles stand side by side. */
const NARROW = 480;

export function Grid({ gallery, open }: { gallery: Gallery; open: (card: Card) => void }) {
  const box = useRef<HTMLDivElement>(null);
  const scroll = useRef(new LongScroll()).current;
  const width = useSignal(0);
  const seen = useSignal({ first: 0, last: 0, shift: 0 });
  const count = gallery.count.value ?? 0;
  gallery.arrived.value;

  const wanted = width.value < NARROW ? Math.min(gallery.side.value, (width.value - GAP) / 2) : gallery.side.value;
  const columns = Math.max(1, Math.floor((width.value + GAP) / (wanted + GAP)));
  const side = Math.floor((width.value - GAP * (columns - 1)) / columns);
  const line = side + WORDS + GAP;
  const lines = Math.ceil(count / columns);
  scroll.total = lines * line;

  const look = () => {
    const element = box.current;
    if (!element || !line) return;
    scroll.view = element.clientHeight;
    scroll.moved(element.scrollTop);
    gallery.top = scroll.top;
    const first = Math.max(0, Math.floor(scroll.top / line) - MARGIN) * columns;
    const last = Math.min(count, (Math.ceil((scroll.top + scroll.view) / line) + MARGIN) * columns);
    const { shift } = scroll;
    const now = seen.value;
    if (first !== now.first || last !== now.last || shift !== now.shift) seen.value = { first, last, shift };
    gallery.wants(first, last);
  };
  const goTo = (top: number) => {
    if (!box.current) return;
    box.current.scrollTop = scroll.to(top);
    look();
  };

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const watch = new ResizeObserver(() => {
      const style = getComputedStyle(element);
      width.value = element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      scroll.view = element.clientHeight;
    });
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    gallery.columns.value = columns;
    scroll.view = box.current?.clientHeight ?? 0;
    goTo(gallery.top);
  }, [count, columns, side]);
  useEffect(() => {
    const at = Math.floor(gallery.current.value / columns) * line;
    if (at < scroll.top) goTo(at);
    else if (at + line > scroll.top + scroll.view) goTo(at + line - scroll.view);
  }, [gallery.current.value]);

  const { first, last, shift } = seen.value;
  const indices = Array.from({ length: Math.max(0, Math.min(last, count) - first) }, (_, i) => first + i);
  return (
    <div class="tiles" ref={box} onScroll={look}>
      <ul style={{ height: `${scroll.height}px` }} aria-label="Rows of the run">
        {width.value > 0 &&
          indices.map((index) => {
            const card = gallery.at(index);
            const [row, column] = [Math.floor(index / columns), index % columns];
            const place = {
              width: `${side}px`,
              height: `${line - GAP}px`,
              transform: `translate(${column * (side + GAP)}px, ${row * line + shift}px)`,
            };
            return (
              <li
                key={card ? `${card.id} ${card.row}` : index}
                style={place}
                aria-setsize={count}
                aria-posinset={index + 1}
              >
                <Tile {...{ gallery, card, index, side, open }} current={index === gallery.current.value} />
              </li>
            );
          })}
      </ul>
    </div>
  );
}
