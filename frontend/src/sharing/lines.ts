/** The Python lines and the commands that make what is shown. */

import { isOneLayer, isPlace } from "../engine/explaining";
import { wordsOf, type Found } from "../state/shown";

export const unique = (words: string[]) => [...new Set(words)];
export const python = (word: string) => JSON.stringify(word);
export const shell = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
export const listed = (words: string[]) => (words.length === 1 ? words[0]! : `[${words.join(", ")}]`);

/** What is shown of one model. */
interface Part {
  photo: string;
  spec: string | null;
  methods: string[];
  layers: string[];
  targets: string[];
}

function partsOf(all: Found[]): Part[] {
  return [...new Set(all.map((one) => one.view))].map((view) => {
    const own = all.filter((one) => one.view === view);
    return {
      photo: own[0]!.photo.name,
      spec: view.spec,
      methods: unique(own.map((one) => one.one.method)).filter(Boolean),
      layers: unique(own.map((one) => one.one.layer)).filter(isOneLayer),
      targets: unique(own.flatMap(typed)),
    };
  });
}

/** A target as it is typed; none for a region that was brushed, which has no words. */
function typed({ target }: Found): string[] {
  const words = wordsOf(target);
  return words !== null && !isPlace(words) ? [words] : [];
}

/** Lines of Python. */
export function pythonLines(all: Found[]): string {
  const lines = partsOf(all).flatMap((part) => {
    const given = [
      python(part.photo),
      ...(part.methods.length ? [`methods=${listed(part.methods.map(python))}`] : []),
      ...(part.layers.length ? [`layers=${listed(part.layers.map(python))}`] : []),
      ...(part.targets.length
        ? [`targets=${listed(part.targets.map((spec) => (/^\d+$/.test(spec) ? spec : python(spec))))}`]
        : []),
    ];
    return [
      `explainer = camscope.Explainer(${part.spec ? python(part.spec) : "model"})`,
      `e = explainer(${given.join(", ")})`,
      "e.figure()",
    ];
  });
  return ["import camscope", "", ...lines].join("\n");
}

/** Commands, a line for each model; none for a model that has no name to write. */
export function commands(all: Found[]): string[] {
  return partsOf(all).flatMap((part) =>
    part.spec === null
      ? []
      : [
          [
            `camscope explain ${shell(part.photo)}`,
            ...(part.spec === "demo" ? [] : [`--model ${shell(part.spec)}`]),
            ...part.methods.map((name) => `--method ${shell(name)}`),
            ...part.layers.map((name) => `--layer ${shell(name)}`),
            ...part.targets.map((spec) => `--target ${shell(spec)}`),
          ].join(" "),
        ],
  );
}

/** Whether something that is shown was brushed, and so stands in no line. */
export const hasRegion = (all: Found[]): boolean => all.some(({ one }) => isPlace(one.target));
