/** A labelled slider from 0 to 1, or between other ends. */

import type { Signal } from "@preact/signals";

interface Props {
  name: string;
  of: Signal<number>;
  min?: number;
  max?: number;
}

export function Slider({ name, of, min = 0, max = 1 }: Props) {
  return (
    <label class="row">
      {name}
      <input
        type="range"
        min={min}
        max={max}
        step="0.01"
        value={of.value}
        onInput={(event) => (of.value = event.currentTarget.valueAsNumber)}
      />
      <output>{Math.round(100 * of.value)} %</output>
    </label>
  );
}
