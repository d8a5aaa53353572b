/** What can be chosen of a model that reads texts, and how the words are kept and made again. */

import { Classes } from "../parts/Classes";
import { Choices } from "../parts/Choices";
import { Methods } from "../parts/Methods";
import { CopyLink, Lines } from "../parts/Share";
import { Slider } from "../parts/Slider";
import { Trust } from "../parts/Trust";
import { textCommand, textLines } from "../sharing/textLines";
import * as drawing from "../state/drawing";
import { view } from "../state/given";
import { mode } from "../state/shown";
import { pair, there } from "./lines";
import { classOf, rows, stored, textToJudge, written } from "./text";
import { saveText, saveTextReport } from "./textFiles";
import { WordBrush } from "./WordBrush";

export function TextControls() {
  if (!written.value.trim()) return null;
  const spec = view.value.spec;
  const all = rows.value.map((row) => ({ ...row.one, target: (stored.value && classOf(row)) ?? row.one.target }));
  const last = there.value[there.value.length - 1];
  return (
    <>
      {!stored.value && <WordBrush />}
      <Classes />
      <Methods />
      <section aria-labelledby="drawing">
        <h2 id="drawing">Drawing</h2>
        {pair.value && (
          <Choices
            name="How rows are compared"
            value={mode.value}
            of={{ side: "row by row", swipe: "swipe", difference: "difference" }}
            choose={(one) => (mode.value = one)}
          />
        )}
        <Slider name="Hide below" of={drawing.threshold} />
      </section>
      {last && !stored.value && <Trust of={textToJudge(last)} />}
      <section aria-labelledby="share">
        <h2 id="share">Share</h2>
        <div class="segments">
          {!view.value.framed && <CopyLink />}
          {last && !stored.value && <button onClick={() => void saveTextReport()}>report</button>}
        </div>
        <div class="segments">
          {(["PNG", "SVG", "npz", "JSON"] as const).map((kind) => (
            <button key={kind} disabled={!last} onClick={() => void saveText[kind]()}>
              {kind}
            </button>
          ))}
        </div>
        <details>
          <summary>The lines that make this</summary>
          <Lines words={textLines(written.value, spec, all)} />
          {spec !== null && <Lines words={textCommand(written.value, spec, all)} />}
        </details>
        <p class="quiet">{view.value.versions}</p>
      </section>
    </>
  );
}
