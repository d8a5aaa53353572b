/** Curves over the looks of a training, as wide as the slider below them, with the look that is shown. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { GROUPS, ticks } from "../gallery/lasso";
import type { Moment } from "./training";

export interface Curve {
  name: string;
  values: (number | null)[];
}

interface Props {
  curves: Curve[];
  moments: Moment[];
  at: number;
  goTo: (at: number) => void;
  /** Whether the numbers are shares, 0 to 1. */
  shares: boolean;
}

const HEIGHT = 150;
/** Of the name of an epoch. */
const ROOM = 84;
/** Half of the slider's thumb, on either side; numbers stand in the first. */
const EDGE = { left: 44, right: 10, top: 10, bottom: 20 };

export const placeOf = (at: number, count: number, width: number): number =>
  EDGE.left + (count > 1 ? at / (count - 1) : 0.5) * (width - EDGE.left - EDGE.right);

export function Curves({ curves, moments, at, goTo, shares }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const width = useSignal(600);
  useEffect(() => {
    const watch = new ResizeObserver(() => (width.value = box.current?.clientWidth ?? 600));
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);
  const numbers = curves.flatMap((one) => one.values.filter((value): value is number => value !== null));
  const [low, high] = shares ? [0, 1] : ends(numbers);
  const x = (index: number) => placeOf(index, moments.length, width.value);
  const y = (value: number) => HEIGHT - EDGE.bottom - ((value - low) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const going = (event: PointerEvent) => {
    if (!(event.buttons & 1)) return;
    const share = (event.clientX - box.current!.getBoundingClientRect().left - EDGE.left) / (width.value - EDGE.left - EDGE.right);
    goTo(Math.round(share * (moments.length - 1)));
  };
  const epochs = named(moments, x);
  return (
    <div class="curves" ref={box}>
      <svg
        width={width.value}
        height={HEIGHT}
        role="img"
        aria-label={`Curves over the training: ${curves.map((one) => one.name).join(", ")}`}
        onPointerDown={going}
        onPointerMove={going}
      >
        {ticks(low, high, 4).map((value) => (
          <g key={value}>
            <line class="rule" x1={EDGE.left} x2={width.value - EDGE.right} y1={y(value)} y2={y(value)} />
            <text x={EDGE.left - 6} y={y(value) + 4} text-anchor="end">
              {shares ? `${Math.round(100 * value)} %` : Number(value.toPrecision(3))}
            </text>
          </g>
        ))}
        {epochs.map(({ moment, index }) => (
          <text key={index} x={x(index)} y={HEIGHT - 4} text-anchor={index === moments.length - 1 ? "end" : "middle"}>
            {moment.title}
          </text>
        ))}
        {curves.map((curve, number) => (
          <g key={curve.name} style={{ color: GROUPS[number % GROUPS.length]! }}>
            <polyline points={pointsOf(curve, x, y)} />
            {curve.values[at] !== null && curve.values[at] !== undefined && (
              <circle cx={x(at)} cy={y(curve.values[at]!)} r={4} />
            )}
          </g>
        ))}
        <line class="now" x1={x(at)} x2={x(at)} y1={EDGE.top} y2={HEIGHT - EDGE.bottom} />
      </svg>
    </div>
  );
}

/** The ends of epochs that have room for their names, from the last one back. */
function named(moments: Moment[], x: (at: number) => number): { moment: Moment; index: number }[] {
  const found: { moment: Moment; index: number }[] = [];
  let free = Infinity;
  for (let index = moments.length - 1; index >= 0; index--) {
    const moment = moments[index]!;
    if (!moment.epoch_end || x(index) > free) continue;
    found.push({ moment, index });
    free = x(index) - ROOM;
  }
  return found;
}

function pointsOf(curve: Curve, x: (at: number) => number, y: (value: number) => number): string {
  return curve.values.flatMap((value, at) => (value === null ? [] : [`${x(at).toFixed(1)},${y(value).toFixed(1)}`])).join(" ");
}

function ends(numbers: number[]): [number, number] {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  if (!(high > low)) return Number.isFinite(low) ? [low - 1, low + 1] : [0, 1];
  return [low - 0.04 * (high - low), high + 0.04 * (high - low)];
}
