/** A training: how the model learned to look, with a slider over its steps. */

import { useEffect, useRef } from "preact/hooks";

import { percent } from "../gallery/Tile";
import { GROUPS } from "../gallery/lasso";
import { paint } from "../maps/colours";
import { Range } from "../parts/Range";
import * as drawing from "../state/drawing";
import { Curves, type Curve } from "./Curves";
import { trainingOf, type Pane, type Shared, type Told, type Training } from "./training";

const SHARED: Record<Shared, string> = {
  map: "each map by itself",
  sample: "one for a photo's steps",
  all: "one for all",
};
const PACES: [number, string][] = [[1000, "slow"], [500, "usual"], [200, "fast"]];

export function TrainingPage({ id, name }: { id: string; name: string }) {
  const training = trainingOf(id);
  const about = training.about.value;
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => onKey(event, training);
    addEventListener("keydown", pressed);
    return () => {
      removeEventListener("keydown", pressed);
      training.play(false);
    };
  }, [id]);
  if (!about)
    return (
      <main class="stage empty">
        {training.error.value ? <p role="alert">{training.error.value}</p> : <p class="quiet">opening the training …</p>}
      </main>
    );
  return (
    <div class="training-page">
      <Samples training={training} about={about} />
      <main class="training-main">
        <header class="rows-bar">
          <div class="rows-title">
            <h1>{name}</h1>
            <p class="quiet">
              {about.model} · {about.method} at {about.layer}
            </p>
          </div>
          <div class="rows-tools">
            <label>
              Scale
              <select
                value={training.shared.value}
                onChange={(event) => (training.shared.value = event.currentTarget.value as Shared)}
              >
                {Object.entries(SHARED).map(([value, words]) => (
                  <option key={value} value={value}>
                    {words}
                  </option>
                ))}
              </select>
            </label>
            <Range name="Maps" label="Opacity of the maps" of={drawing.opacity} />
          </div>
        </header>
        {training.error.value && (
          <p class="warning" role="alert">
            {training.error.value}
          </p>
        )}
        <Time training={training} about={about} />
        <div class="step-panes">
          {training.panes.value.map((pane) => (
            <Step key={`${pane.sample} ${pane.target}`} training={training} about={about} pane={pane} />
          ))}
        </div>
        {!training.panes.value.length && <p class="empty quiet">Choose what to look at on the left.</p>}
        {about.missing.length > 0 && (
          <p class="note">
            {about.missing.length} {about.missing.length === 1 ? "look is" : "looks are"} missing:{" "}
            {about.missing[0]!.reason}
          </p>
        )}
        {about.notes.map((note) => (
          <p class="note" key={note}>
            {note}
          </p>
        ))}
      </main>
    </div>
  );
}

function Samples({ training, about }: { training: Training; about: Told }) {
  return (
    <aside class="rows-filters" aria-label="What is looked at">
      <h2>Photos</h2>
      <p class="quiet">Each is shown at every step of the training.</p>
      <ul class="samples">
        {about.samples.flatMap((sample, number) =>
          training.told.value.map((told, target) => (
            <li key={`${number} ${target}`}>
              <button
                class="sample"
                aria-pressed={training.panes.value.some((one) => one.sample === number && one.target === target)}
                onClick={() => training.toggle({ sample: number, target })}
              >
                <img src={sample.picture} alt="" />
                <span>
                  {told.samples[number]?.title}
                  <small>{sample.name}</small>
                </span>
              </button>
            </li>
          )),
        )}
      </ul>
      {about.count > about.samples.length && (
        <p class="quiet">The first {about.samples.length} of {about.count}.</p>
      )}
    </aside>
  );
}

/** Play, the curves, and the slider below them. */
function Time({ training, about }: { training: Training; about: Told }) {
  const { moments } = about;
  const moment = training.moment.value;
  const numbers = training.numbers.value;
  const names = Object.keys(numbers);
  const what = training.curve.value;
  const curves = curvesOf(training, what);
  const known = what !== "probability" || curves.some((one) => one.values.some((value) => value !== null));
  const shares = what === "probability" && known;
  return (
    <section class="time" aria-label="The training's time">
      <div class="time-head">
        <button
          class="play"
          aria-label={training.playing.value ? "Stop" : "Play"}
          onClick={() => training.play(!training.playing.value)}
        >
          <svg viewBox="0 0 20 20" aria-hidden="true">
            {training.playing.value ? <path d="M5 4h4v12H5zM11 4h4v12h-4z" /> : <path d="M6 3.5v13l11-6.5z" />}
          </svg>
        </button>
        <p class="when" aria-live={training.playing.value ? "off" : "polite"}>
          <b>{moment?.title}</b>
          <span class="quiet">
            step {moment?.step.toLocaleString("en")} · look {training.at.value + 1} of {moments.length}
            {names.slice(0, 3).map((name) => {
              const value = numbers[name]?.[training.at.value];
              return value == null ? "" : ` · ${name.replaceAll("_", " ")} ${Number(value.toPrecision(3))}`;
            })}
          </span>
        </p>
        <div class="rows-tools">
          <label>
            Curve
            <select value={what} onChange={(event) => (training.curve.value = event.currentTarget.value)}>
              <option value="probability">{known ? "probability of what is shown" : "score of what is shown"}</option>
              {names.map((name) => (
                <option key={name} value={name}>
                  {name.replaceAll("_", " ")}
                </option>
              ))}
            </select>
          </label>
          <label>
            Pace
            <select
              value={String(training.pace.value)}
              onChange={(event) => {
                training.pace.value = Number(event.currentTarget.value);
                if (training.playing.value) training.play(true);
              }}
            >
              {PACES.map(([pace, words]) => (
                <option key={pace} value={String(pace)}>
                  {words}
                </option>
              ))}
            </select>
          </label>
        </div>
      </div>
      <Curves curves={curves} moments={moments} at={training.at.value} goTo={(at) => training.goTo(at)} shares={shares} />
      <input
        class="steps"
        type="range"
        min={0}
        max={moments.length - 1}
        step={1}
        value={training.at.value}
        aria-label="Step of the training"
        aria-valuetext={`${moment?.title ?? ""}, step ${moment?.step ?? 0}`}
        onInput={(event) => {
          training.play(false);
          training.goTo(event.currentTarget.valueAsNumber);
        }}
      />
    </section>
  );
}

function curvesOf(training: Training, what: string): Curve[] {
  if (what !== "probability") return [{ name: what, values: training.numbers.value[what] ?? [] }];
  return training.panes.value.flatMap((pane) => {
    const sample = training.sampleOf(pane);
    if (!sample) return [];
    const known = sample.steps.some((look) => look.probability !== null);
    return [{ name: sample.title, values: sample.steps.map((look) => (known ? look.probability : look.score)) }];
  });
}

function Step({ training, about, pane }: { training: Training; about: Told; pane: Pane }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const at = training.at.value;
  const sample = training.sampleOf(pane);
  const heat = training.heat(pane, at);
  const table = drawing.table.value;
  useEffect(() => {
    if (canvas.current && heat) paint(canvas.current, heat, table);
  }, [heat, table]);
  const look = sample?.steps[at];
  if (!sample || !look) return null;
  const [height, width] = about.input_size;
  const right = sample.label ? look.top === sample.label : null;
  const number = training.panes.value.indexOf(pane);
  return (
    <figure class="step-pane">
      <figcaption>
        <i style={{ background: GROUPS[number % GROUPS.length]! }} aria-hidden="true" />
        <strong title={sample.title}>{sample.title}</strong>
        <span class="number">{look.probability === null ? look.score?.toPrecision(3) : percent(look.probability)}</span>
      </figcaption>
      <div class="picture" style={{ aspectRatio: `${width} / ${height}` }}>
        <img src={sample.picture} alt={`${sample.name}, below the map for ${look.title}`} draggable={false} />
        <canvas ref={canvas} />
      </div>
      <p class="quiet">
        says <b class={right === false ? "wrong" : ""}>{look.top}</b>
        {right !== null && (right ? " ✓" : " ✗")} {look.note}
      </p>
    </figure>
  );
}

function onKey(event: KeyboardEvent, training: Training): void {
  const on = event.target instanceof HTMLElement ? event.target : null;
  if (on?.matches("input:not([type=range]), select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j" || event.key === "k") {
    training.play(false);
    training.goTo(training.at.value + (event.key === "j" ? 1 : -1));
  } else if (event.key === " " && !on?.matches("button, summary, a")) {
    training.play(!training.playing.value);
    event.preventDefault();
  }
}
