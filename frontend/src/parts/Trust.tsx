/** Whether the map can be trusted: the verdict in words, and its bar. */

import type { Bounds, Verdict } from "../engine/api";
import { judge, trusted, trustKey } from "../engine/trusting";
import { maps } from "../state/shown";

export function Trust() {
  const all = maps.value;
  const one = all[all.length - 1];
  if (!one || one.photo.id === undefined) return null;
  const known = trusted.value.get(trustKey(one));
  const named = one.target?.spec ?? one.target?.asked;
  return (
    <section aria-labelledby="trust">
      <h2 id="trust">Can I trust it?</h2>
      {known?.stage !== "running" && known?.stage !== "done" && (
        <>
          <p class="quiet">
            Hides parts of the photo at random and asks whether the map knew which of them matter. Takes seconds to
            minutes.
          </p>
          <button class="wide" disabled={!named} onClick={() => void judge(one)}>
            judge this map
          </button>
          {!named && <p class="quiet">A target without a name cannot be judged here.</p>}
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
            <button class="wide" onClick={known.stop}>
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

function Judged({ verdict }: { verdict: Verdict }) {
  const bars: [string, Bounds | null, string][] = [
    ["this map", verdict.fidelity, "own"],
    ...Object.entries(verdict.baselines).map(([name, one]): [string, Bounds, string] => [name, one.fidelity, "other"]),
    ["other places", verdict.chance, "other"],
  ];
  return (
    <>
      <p class="verdict">{verdict.says}</p>
      {verdict.why && <p class="quiet">{verdict.why}</p>}
      {verdict.fidelity && (
        <table class="bounds">
          <caption class="quiet">Fidelity: how well it foretells what the score loses (1: exactly, 0: not at all).</caption>
          <tbody>
            {bars.map(([name, bounds, kind]) => bounds && <Interval key={name} name={name} of={bounds} kind={kind} />)}
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

/** An interval between −1 and 1, with zero in the middle. */
function Interval({ name, of, kind }: { name: string; of: Bounds; kind: string }) {
  const at = (value: number) => `${50 * (Math.min(Math.max(value, -1), 1) + 1)}%`;
  const [low, high] = [of.low ?? of.value, of.high ?? of.value];
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>
        <span class={`interval ${kind}`}>
          <u />
          <i style={{ left: at(low), right: `calc(100% - ${at(high)})` }} />
          <b style={{ left: at(of.value) }} />
        </span>
      </td>
      <td class="number">
        {of.value.toFixed(2)}
        <small>
          {low.toFixed(2)} to {high.toFixed(2)}
        </small>
      </td>
    </tr>
  );
}
