/** A slider without its number, as a row of tools has it. */

import type { Signal } from "@preact/signals";

interface Props {
  name: string;
  label: string;
  of: Signal<number>;
  min?: number;
  max?: number;
  step?: number;
}

export function Range({ name, label, of, min = 0, max = 1, step = 0.01 }: Props) {
  return (
    <label>
      {name}
      <input
        type="range"
        min={min}
        max={max}
        step={step}
        aria-label={label}
        value={of.value}
        onInput={(event) => (of.value = event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}
