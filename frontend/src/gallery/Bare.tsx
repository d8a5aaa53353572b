/** A map by itself, on nothing. */

import { useEffect, useMemo, useRef } from "preact/hooks";

import { paint, tableOf } from "../maps/colours";
import { coloursOf } from "../state/drawing";
import type { Pair } from "../view";
import { bareHeat, numbersIn } from "./small";

interface Props {
  values: string;
  shape: Pair;
  side: number;
  signed?: boolean;
  words: string;
}

export function Bare({ values, shape, side, signed = false, words }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const heat = useMemo(() => bareHeat(numbersIn(values), shape, side, signed), [values, side, signed]);
  const colours = coloursOf(signed);
  useEffect(() => {
    if (canvas.current) paint(canvas.current, heat, tableOf(colours, 1, 0, signed));
  }, [heat, colours]);
  return <canvas ref={canvas} class="bare" role="img" aria-label={words} style={{ width: `${side}px` }} />;
}
