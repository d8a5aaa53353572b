/** By which method a map is made: its honest line, its price, and why one is refused. */

import { useSignal } from "@preact/signals";

import type { MethodFacts } from "../engine/api";
import * as facts from "../engine/facts";
import { isAutomatic } from "../engine/explaining";
import { engine, model } from "../engine/models";
import { view as chosenView } from "../state/given";
import * as shown from "../state/shown";
import { useRoving } from "./roving";

export function Methods() {
  const view = chosenView.value;
  const known = facts.methods.value;
  const now = shown.shown.value;
  const last = now[now.length - 1];
  if (!last) return null;
  const about = known.find((one) => one.name === last.method);
  const plain = view.methods.find((one) => one.name === last.method);
  const advice = about?.advice || plain?.advice;
  return (
    <section aria-labelledby="methods">
      <h2 id="methods">How it is made</h2>
      {engine.value ? <All /> : <Made last={last} />}
      {last.method && (
        <p class="said">
          <strong>{last.method}</strong> {last.layer && `at ${last.layer}`}
          {isAutomatic(last) && <span class="quiet"> · the layer was chosen for you</span>}
        </p>
      )}
      {(advice || about) && (
        <p class="quiet">
          {advice} {about && `Costs ${about.cost}.`} <cite>{about?.paper ?? plain?.paper}</cite>
        </p>
      )}
      <Layers />
    </section>
  );
}

/** In a report: what was explained. */
function Made({ last }: { last: shown.Shown }) {
  const now = shown.shown.value;
  return (
    <ul class="choices">
      {chosenView.value.keys.map((key) => (
        <li key={`${key.method} ${key.layer}`}>
          <button
            class="main"
            aria-pressed={now.some((one) => one.method === key.method && one.layer === key.layer)}
            onClick={(event) => shown.show({ ...last, method: key.method, layer: key.layer }, shown.adds(event))}
          >
            <span>{key.method}</span>
            <small>{key.layer}</small>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** With an engine: every method, also those that this model refuses. */
function All() {
  const words = useSignal("");
  const now = shown.shown.value;
  const last = now[now.length - 1]!;
  const sought = words.value.trim().toLowerCase();
  const listed = facts.methods.value.filter(
    (one) => !sought || `${one.name} ${one.advice} ${one.paper}`.toLowerCase().includes(sought),
  );
  const offered = listed.filter((one) => one.offered);
  const reasons = reasonsOf(listed.filter((one) => !one.offered));
  const roving = useRoving(
    offered.map((one) => one.name),
    last.method,
  );
  return (
    <>
      <input
        type="search"
        placeholder={facts.methods.value.length ? `search ${facts.methods.value.length} methods` : "search methods"}
        aria-label="Search among the methods"
        value={words.value}
        onInput={(event) => (words.value = event.currentTarget.value)}
      />
      <ul class="choices methods" aria-label="Methods: arrow keys go through them" {...roving.list}>
        {offered.map((one) => (
          <li key={one.name}>
            <button
              class="main"
              aria-pressed={now.some((other) => other.method === one.name)}
              title={one.advice}
              {...roving.button(one.name)}
              onClick={(event) => shown.show({ ...last, method: one.name }, shown.adds(event))}
            >
              <span>{one.name}</span>
              <span class="why">{shortCost(one.cost)}</span>
            </button>
          </li>
        ))}
        {reasons.map(({ why, names }) => (
          <li key={why} class="refused">
            <b>{names.join(", ")}</b>
            <div class="why">
              <Shortened words={`refused: ${why}`} />
            </div>
          </li>
        ))}
      </ul>
      {listed.length === 0 && facts.methods.value.length > 0 && <p class="quiet">No method is called that.</p>}
    </>
  );
}

/** Why methods are refused, each reason once with all methods that it is true of. */
function reasonsOf(refused: MethodFacts[]): { why: string; names: string[] }[] {
  const all = new Map<string, string[]>();
  for (const { name, why_not } of refused) {
    const why = why_not.startsWith(`${name} `) ? `it${why_not.slice(name.length)}` : why_not;
    all.set(why, [...(all.get(why) ?? []), name]);
  }
  return [...all].map(([why, names]) => ({ why, names }));
}

/** A reason's first sentence; the rest is there for who wants it. */
function Shortened({ words }: { words: string }) {
  const [first, rest] = inTwo(words);
  if (!rest) return <>{first}</>;
  return (
    <details>
      <summary>{first}</summary>
      {rest}
    </details>
  );
}

/** The first sentence, or what stands before a colon in a long one; and what follows. */
function inTwo(words: string): [string, string] {
  const end = /(?<!refused)[.:;] /.exec(words);
  return end ? [words.slice(0, end.index), words.slice(end.index + 2)] : [words, ""];
}

/** The price without what changes it. */
const shortCost = (cost: string) => cost.split(/ \(|; /)[0]!;

/** From the first layer to the last. */
function Layers() {
  const layers = facts.layers.value;
  const now = shown.shown.value;
  const last = now[now.length - 1]!;
  if (layers.length < 2) return null;
  const at = layers.findIndex((layer) => layer.name === last.layer);
  const layer = layers[at];
  const choose = (number: number, beside: boolean) => shown.show({ ...last, layer: layers[number]!.name }, beside);
  return (
    <div class="layers">
      <label class="row scrubber">
        Layer
        <input
          type="range"
          min="0"
          max={layers.length - 1}
          step="1"
          value={at < 0 ? layers.length - 1 : at}
          aria-valuetext={layer ? `${layer.name}, ${layer.grid!.join(" by ")}` : last.layer}
          onInput={(event) => choose(event.currentTarget.valueAsNumber, false)}
        />
        <output>
          {at < 0 ? "–" : at + 1}/{layers.length}
        </output>
      </label>
      <p class="quiet">
        {layer ? `${layer.grid!.join("×")} ${model.value?.kind === "texts" ? "positions" : "cells"}, ${layer.channels ?? "?"} channels` : last.layer}
        {layer && !layer.reaches_score && " · its places do not reach the score"}
        {now.length === 1 && at > 0 && (
          <>
            {" · "}
            <button class="link" onClick={() => choose(at - 1, true)}>
              compare with the one before
            </button>
          </>
        )}
      </p>
    </div>
  );
}
