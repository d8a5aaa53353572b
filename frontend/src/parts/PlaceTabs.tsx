/** Where the page can be: at photos, or at one of the runs and trainings that it was started with. */

import { engine } from "../engine/models";
import { go, place, type Place } from "../places";

export function Places() {
  const { runs = [], trainings = [] } = engine.value ?? {};
  if (!runs.length && !trainings.length) return null;
  const now = place.value;
  const places: { at: Place; name: string }[] = [
    { at: { kind: "photos" }, name: "Photos" },
    ...runs.map(({ id, name }) => ({ at: { kind: "run", id } as Place, name })),
    ...trainings.map(({ id, name }) => ({ at: { kind: "training", id } as Place, name })),
  ];
  return (
    <nav class="places" aria-label="What is looked at">
      {places.map(({ at, name }) => (
        <button
          key={JSON.stringify(at)}
          aria-current={JSON.stringify(at) === JSON.stringify(now) ? "page" : undefined}
          onClick={() => go(at)}
        >
          {name}
          {at.kind !== "photos" && <small>{at.kind}</small>}
        </button>
      ))}
    </nav>
  );
}
