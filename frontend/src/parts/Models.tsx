/** Which model is asked; one that is loading or failed says so. */

import { engine } from "../engine/models";
import { modelNumber } from "../state/given";
import * as shown from "../state/shown";

export function Models() {
  const models = engine.value?.models ?? [];
  const one = models[modelNumber.value];
  if (!one || (models.length < 2 && one.status === "ready")) return null;
  return (
    <section aria-labelledby="models">
      <h2 id="models">Model</h2>
      {models.length > 1 && (
        <ul class="choices">
          {models.map((other, number) => (
            <li key={other.id}>
              <button
                class="main"
                aria-pressed={shown.shown.value.some((at) => at.model === number)}
                onClick={(event) => choose(number, shown.adds(event))}
              >
                <span>{other.name}</span>
                <small>{other.status === "ready" ? other.kind : other.status}</small>
              </button>
            </li>
          ))}
        </ul>
      )}
      {one.status === "loading" && (
        <p class="quiet" role="status">
          {one.name} is being loaded. Its maps come as soon as it is there.
        </p>
      )}
      {one.status === "failed" && (
        <p class="warning" role="alert">
          {one.name} cannot be asked: {one.error}
        </p>
      )}
    </section>
  );
}

/** Layers and classes of one model say nothing to another: its own are chosen. */
function choose(number: number, beside: boolean): void {
  const models = engine.value!.models;
  const now = shown.shown.value;
  const last = now[now.length - 1] ?? { model: number, method: "", layer: "", target: 0 };
  const [to, from] = [models[number]!, models[last.model]];
  const alike = to.kind === from?.kind && to.classes === from.classes;
  modelNumber.value = number;
  shown.show({ ...last, model: number, method: "", layer: "", target: alike ? last.target : 0 }, beside);
}
