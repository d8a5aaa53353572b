/** The Python lines and the command that make what is shown. */

import { targetNumber, type Shown } from "./state/shown";
import type { Photo, View } from "./view";

const unique = (words: string[]) => [...new Set(words)];
const python = (word: string) => JSON.stringify(word);
const shell = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

function targetsOf(photo: Photo, shown: Shown[]): string[] {
  return unique(
    shown.flatMap((one) => {
      const spec = photo.targets[targetNumber(photo, one.target) ?? -1]?.spec;
      return spec ? [spec] : [];
    }),
  );
}

/** Lines of Python; null where the model or a target has no name to write. */
export function pythonLines(view: View, photo: Photo, shown: Shown[]): string {
  const list = (words: string[]) => (words.length === 1 ? words[0]! : `[${words.join(", ")}]`);
  const targets = targetsOf(photo, shown);
  const given = [
    python(photo.name),
    `methods=${list(unique(shown.map((one) => one.method)).map(python))}`,
    `layers=${list(unique(shown.map((one) => one.layer)).map(python))}`,
    ...(targets.length ? [`targets=${list(targets.map((spec) => (/^\d+$/.test(spec) ? spec : python(spec))))}`] : []),
  ];
  return [
    "import camscope",
    "",
    `explainer = camscope.Explainer(${view.spec ? python(view.spec) : "model"})`,
    `e = explainer(${given.join(", ")})`,
    "e.figure()",
  ].join("\n");
}

export function command(view: View, photo: Photo, shown: Shown[]): string {
  const targets = targetsOf(photo, shown);
  return [
    `camscope explain ${shell(photo.name)}`,
    ...(view.spec && view.spec !== "demo" ? [`--model ${shell(view.spec)}`] : []),
    ...unique(shown.map((one) => one.method)).map((name) => `--method ${shell(name)}`),
    ...unique(shown.map((one) => one.layer)).map((name) => `--layer ${shell(name)}`),
    ...targets.map((spec) => `--target ${shell(spec)}`),
  ].join(" ");
}
