/** What can be chosen of a model that reads texts, and how the words are kept and made again. */

import { Classes } from "../parts/Classes";
import { Choices } from "../parts/Choices";
import { Methods } from "../parts/Methods";
import { CopyLink, Lines } from "../parts/Share";
import { Slider } from "../parts/Slider";
import { Trust } from "../parts/Trust";
import { textCommand, textLines } from "../sharing/textLines";
import { model } from "../engine/models";
import * as drawing from "../state/drawing";
import { mode } from "../state/shown";
import { pair, there } from "./lines";
import { rows, text, textToJudge } from "./text";
import { saveText } from "./textFiles";
import { WordBrush } from "./WordBrush";

export function TextControls() {
  if (!text.value.trim()) return null;
  const all = rows.value.map(({ one }) => one);
  const spec = model.value?.spec ?? null;
  const last = there.value[there.value.length - 1];
  return (
    <>
      <WordBrush />
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
      {last && <Trust of={textToJudge(last)} />}
      <section aria-labelledby="share">
        <h2 id="share">Share</h2>
        <div class="segments">
          <CopyLink />
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
          <Lines words={textLines(text.value, spec, all)} />
          {spec !== null && <Lines words={textCommand(text.value, spec, all)} />}
        </details>
      </section>
    </>
  );
}
