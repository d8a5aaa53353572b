/** Whether the map can be trusted: the verdict in words, and its bar. */

import type { Bounds, Verdict } from "../engine/api";
import { judge, trusted, type ToJudge } from "../engine/trusting";
import type { Pair } from "../view";

export function Trust({ of }: { of: ToJudge }) {
  const known = trusted.value.get(of.key);
  return (
    <section aria-labelledby="trust" tabIndex={-1}>
      <h2 id="trust">Can I trust it?</h2>
      {known?.stage !== "running" && known?.stage !== "done" && (
        <>
          <p class="quiet">
            Hides parts of the {of.what} at random and asks whether the map knew which of them matter. Takes seconds to
            minutes.
          </p>
          <button class="wide" disabled={!of.asked} onClick={(event) => {
              stay(event);
              void judge(of);
            }}>
            judge this map
          </button>
          {!of.asked && <p class="quiet">A target without a name cannot be judged here.</p>}
        </>
      )}
      <div aria-live="polite">
        {known?.stage === "running" && (
          <>
            <progress
              aria-label="Probes"
              {...(known.progress ? { value: known.progress.done, max: known.progress.total } : {})}
            />
            <p class="quiet">{known.progress?.words ?? "The first probes are made."}</p>
            <button class="wide" onClick={(event) => {
                stay(event);
                known.stop();
              }}>
              stop
            </button>
          </>
        )}
        {known?.stage === "stopped" && <p class="quiet">Stopped; nothing is left running.</p>}
        {known?.stage === "refused" && <p class="warning">{known.why}</p>}
        {known?.stage === "done" && <Judged verdict={known.verdict} />}
      </div>
    </section>
  );
}

/** The button goes, and the keyboard's place with it: the section is where it goes on. */
function stay(event: { currentTarget: HTMLElement }): void {
  event.currentTarget.closest("section")?.focus({ preventScroll: true });
}

function Judged({ verdict }: { verdict: Verdict }) {
  const bars: [string, Bounds | null, string][] = [
    ["this map", verdict.fidelity, "own"],
    ...Object.entries(verdict.baselines).map(([name, one]): [string, Bounds, string] => [name, one.fidelity, "other"]),
    ["other places", verdict.chance, "other"],
  ];
  const all = bars.flatMap(([, bounds]) => (bounds ? [bounds.value, lowOf(bounds), highOf(bounds)] : []));
  const ends: Pair = [Math.min(0, ...all), Math.max(SMALLEST_RANGE, ...all)];
  return (
    <>
      <p class="verdict">{verdict.says}</p>
      {verdict.why && <p class="quiet">{verdict.why}</p>}
      {verdict.fidelity && (
        <table class="bounds">
          <caption class="quiet">Fidelity: how well it foretells what the score loses (1: exactly, 0: not at all).</caption>
          <tbody>
            {bars.map(
              ([name, bounds, kind]) => bounds && <Interval key={name} name={name} of={bounds} kind={kind} ends={ends} />,
            )}
          </tbody>
        </table>
      )}
      {[...verdict.checks.map((check) => `${check.name}: ${check.says}`), ...verdict.notes].map((note) => (
        <p class="note" key={note}>
          {note}
        </p>
      ))}
    </>
  );
}

const SMALLEST_RANGE = 0.5;
const lowOf = (bounds: Bounds) => bounds.low ?? bounds.value;
const highOf = (bounds: Bounds) => bounds.high ?? bounds.value;
const written = (value: number) => value.toFixed(2).replace("-", "−");

/** An interval between the ends that all of them share, with a line at zero. */
function Interval({ name, of, kind, ends }: { name: string; of: Bounds; kind: string; ends: Pair }) {
  const at = (value: number) => `${(100 * (value - ends[0])) / (ends[1] - ends[0])}%`;
  const [low, high] = [lowOf(of), highOf(of)];
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>
        <span class={`interval ${kind}`}>
          <u style={{ left: at(0) }} />
          <i style={{ left: at(low), right: `calc(100% - ${at(high)})` }} />
          <b style={{ left: at(of.value) }} />
        </span>
      </td>
      <td class="number">
        {written(of.value)}
        <small>
          {written(low)} to {written(high)}
        </small>
      </td>
    </tr>
  );
}
