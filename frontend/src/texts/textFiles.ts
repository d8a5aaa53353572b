/** Coloured words as files: pictures, and the numbers of each word. */

import * as api from "../engine/api";
import { sentenceOf } from "../engine/client";
import { download } from "../sharing/files";
import { methods } from "../engine/facts";
import { npz } from "../sharing/npz";
import { view } from "../state/given";
import { tell } from "../state/notices";
import { mode } from "../state/shown";
import type { Target, Text, View, WordMap } from "../view";
import { lines, pair, there } from "./lines";
import { classOf, rows, written } from "./text";
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
    model: view.value.model,
    method: map.method,
    layer: map.layer,
    target,
    words: answer.words.map((word) => word.text),
    evidence: map.evidence,
  }));
  download("words.json", new Blob([JSON.stringify({ text: written.value, maps }, null, 1)], { type: "application/json" }));
}

/** All that is known of the text, as one: each map once, of each target once. */
function joined(): { text: Text; keys: View["keys"] } {
  const targets = new Map<string, Target>();
  const maps = new Map<string, WordMap>();
  for (const row of there.value)
    for (const map of row.answer.maps) {
      const target = row.answer.targets[map.target]!;
      const spec = row.answer.maps.length > 1 ? target.spec : classOf(row);
      const name = spec ?? target.title;
      if (!targets.has(name)) targets.set(name, { ...target, spec });
      const number = [...targets.keys()].indexOf(name);
      maps.set(JSON.stringify([map.method, map.layer, number]), { ...map, target: number });
    }
  const all = [...maps.values()];
  const keys = new Map(all.map(({ method, layer }) => [JSON.stringify([method, layer]), { method, layer, range: [0, 1] as [number, number] }]));
  return { text: { ...there.value[0]!.answer, targets: [...targets.values()], maps: all }, keys: [...keys.values()] };
}

/** The text with the maps that there are of it, as a page that opens offline. */
export async function saveTextReport(): Promise<void> {
  try {
    const { text, keys } = joined();
    const notes = [...new Set(rows.value.flatMap((row) => row.answer?.notes ?? []))];
    const known = methods.value.map(({ name, advice, paper }) => ({ name, advice, paper, rectified: false }));
    const used = known.filter((one) => keys.some((key) => key.method === one.name));
    const title = `Which words ${view.value.model} goes by`;
    download("text-report.html", await api.report({ ...view.value, title, keys, methods: used, notes, photos: [], texts: [text] }));
  } catch (error) {
    tell(sentenceOf(error));
  }
}

/** What each button saves. */
export const saveText = {
  PNG: savePng,
  SVG: () => download("words.svg", svgOf(figure())),
  npz: saveNpz,
  JSON: saveJson,
};
