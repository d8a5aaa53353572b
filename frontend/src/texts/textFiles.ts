/** Coloured words as files: pictures, and the numbers of each word. */

import { model } from "../engine/models";
import { download } from "../sharing/files";
import { npz } from "../sharing/npz";
import { mode } from "../state/shown";
import { lines, pair, there } from "./lines";
import { text } from "./text";
import { pngOf, svgOf, wordsFigure } from "./wordsFigure";

const figure = () =>
  wordsFigure(
    lines.value,
    pair.value && mode.value === "difference" ? ["more in the second", "more in the first"] : ["against", "for"],
  );

async function savePng(): Promise<void> {
  const blob = await pngOf(figure());
  if (blob) download("words.png", blob);
}

/** Each row's evidence, one number for each word; NaN where it is none. */
function saveNpz(): void {
  const arrays = there.value.map(({ map, target }) => ({
    name: [map.method, map.layer, target.title].join("|").replace(/[\\/]/g, "-"),
    shape: [map.evidence.length],
    values: Float32Array.from(map.evidence, (value) => value ?? NaN),
  }));
  download("words.npz", npz(arrays));
}

function saveJson(): void {
  const maps = there.value.map(({ map, target, answer }) => ({
    model: model.value?.name,
    method: map.method,
    layer: map.layer,
    target,
    words: answer.words.map((word) => word.text),
    evidence: map.evidence,
  }));
  download("words.json", new Blob([JSON.stringify({ text: text.value, maps }, null, 1)], { type: "application/json" }));
}

/** What each button saves. */
export const saveText = {
  PNG: savePng,
  SVG: () => download("words.svg", svgOf(figure())),
  npz: saveNpz,
  JSON: saveJson,
};
