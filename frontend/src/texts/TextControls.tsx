/** What can be chosen of a model that reads texts: classes, methods and layers, and how the words are made again. */

import { Classes } from "../parts/Classes";
import { Methods } from "../parts/Methods";
import { CopyLink, Lines } from "../parts/Share";
import { textCommand, textLines } from "../sharing/textLines";
import { model } from "../engine/models";
import { rows, text } from "./text";

export function TextControls() {
  if (!text.value.trim()) return null;
  const all = rows.value.map(({ one }) => one);
  const spec = model.value?.spec ?? null;
  return (
    <>
      <Classes />
      <Methods />
      <section aria-labelledby="share">
        <h2 id="share">Share</h2>
        <div class="segments">
          <CopyLink />
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
