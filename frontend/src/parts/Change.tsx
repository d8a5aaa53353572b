/** What the model says without a part of its input, beside what it said with it. */

import type { Altered, Said } from "../engine/api";
import { shortName } from "../engine/pointing";
import { Bar, inWords } from "./Bar";

const MOST_ROWS = 7;

/** What is shown first, then the other classes that are likely. */
function rowsOf({ targets, classes }: Altered): { name: string; before: Said; after: Said }[] {
  const shown = new Set(targets.map((one) => one.index));
  const others = classes.filter((one) => !shown.has(one.index));
  return [
    ...targets.map(({ title, ...said }) => ({ name: title, ...said })),
    ...others.map(({ name, ...said }) => ({ name: shortName(name), ...said })),
  ].slice(0, MOST_ROWS);
}

export function Change({ of, what }: { of: Altered; what: string }) {
  const before = of.classes[0];
  const after = of.classes.reduce((best, one) => (one.after.score > best.after.score ? one : best), of.classes[0]!);
  return (
    <>
      <p class="said">
        {Math.round(100 * of.removed)} % of the {what} is gone.{" "}
        {before && `${before.index === after.index ? "It still says" : "Now it says"} ${shortName(after.name)}.`}
      </p>
      <table class="change">
        <thead>
          <tr>
            <th scope="col">class</th>
            <th scope="col">before</th>
            <th scope="col">now</th>
          </tr>
        </thead>
        <tbody>
          {rowsOf(of).map((row) => (
            <tr key={row.name}>
              <th scope="row">{row.name}</th>
              {[row.before, row.after].map((one, i) => (
                <td key={i}>
                  <Bar share={one.probability} words={inWords(one.probability, one.score)} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
