/** The Python lines and the command that make the coloured words. */

import { isOneLayer } from "../engine/explaining";
import type { Shown } from "../state/shown";
import { listed, python, shell, unique } from "./lines";

interface Asked {
  methods: string[];
  layers: string[];
  targets: string[];
}

const askedOf = (all: Shown[]): Asked => ({
  methods: unique(all.map((one) => one.method)).filter(Boolean),
  layers: unique(all.map((one) => one.layer)).filter(isOneLayer),
  targets: unique(all.flatMap((one) => (typeof one.target === "string" ? [one.target] : []))),
});

/** Lines of Python. */
export function textLines(text: string, spec: string | null, all: Shown[]): string {
  const { methods, layers, targets } = askedOf(all);
  const given = [
    python(text),
    ...(methods.length ? [`methods=${listed(methods.map(python))}`] : []),
    ...(layers.length ? [`layers=${listed(layers.map(python))}`] : []),
    ...(targets.length ? [`targets=${listed(targets.map((word) => (/^\d+$/.test(word) ? word : python(word))))}`] : []),
  ];
  return [
    "import camscope",
    "",
    `explainer = camscope.Explainer(${spec ? python(spec) : "model"})`,
    `e = explainer(${given.join(", ")})`,
    "e.words()",
  ].join("\n");
}

/** The command, for a model that has a name to write. */
export function textCommand(text: string, spec: string, all: Shown[]): string {
  const { methods, layers, targets } = askedOf(all);
  return [
    `camscope explain ${shell(text)} --model ${shell(spec)}`,
    ...methods.map((name) => `--method ${shell(name)}`),
    ...layers.map((name) => `--layer ${shell(name)}`),
    ...targets.map((word) => `--target ${shell(word)}`),
  ].join(" ");
}
