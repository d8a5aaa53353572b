/** What is shown, for others: a link, files, and the lines that make it. */

import { useSignal } from "@preact/signals";

import { linkOf } from "../address";
import { view as chosenView } from "../state/given";
import { tell } from "../state/notices";
import { found } from "../state/shown";
import { saveJson, saveNpz, savePng, saveReport, saveSvg } from "../sharing/files";
import { commands, hasRegion, pythonLines } from "../sharing/lines";

export function Share() {
  const all = found.value;
  const view = chosenView.value;
  const engine = all[0]?.photo.id !== undefined;
  return (
    <section aria-labelledby="share">
      <h2 id="share">Share</h2>
      <div class="segments">
        {!view.framed && <CopyLink />}
        {engine && <button onClick={() => void saveReport()}>report</button>}
      </div>
      <div class="segments">
        <button onClick={() => void savePng()}>PNG</button>
        <button onClick={saveSvg}>SVG</button>
        <button onClick={saveNpz}>npz</button>
        <button onClick={saveJson}>JSON</button>
      </div>
      <details>
        <summary>The lines that make this</summary>
        <Lines words={pythonLines(all)} />
        {commands(all).map((line) => (
          <Lines key={line} words={line} />
        ))}
        {hasRegion(all) && <p class="quiet">A region that was brushed has no words: it is in the link, and in the maps.</p>}
      </details>
      <p class="quiet">{view.versions}</p>
    </section>
  );
}

export const CopyLink = () => <Copy words={linkOf} label="copy the link" />;

export function Lines({ words }: { words: string }) {
  return (
    <div class="lines">
      <pre tabIndex={0}>{words}</pre>
      <Copy words={() => words} label="copy" />
    </div>
  );
}

function Copy({ words, label }: { words: () => string; label: string }) {
  const done = useSignal(false);
  return (
    <button
      aria-live="polite"
      onClick={async () => {
        try {
          await navigator.clipboard.writeText(words());
          done.value = true;
          setTimeout(() => (done.value = false), 1500);
        } catch {
          tell(`Your browser does not let this page copy. Here it is: ${words()}`);
        }
      }}
    >
      {done.value ? "copied" : label}
    </button>
  );
}
