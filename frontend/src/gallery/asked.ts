/** The Python lines and the command that show the same rows. */

import type { Gallery } from "./gallery";

const ERROR = "CASE WHEN label != top1 THEN top1_probability ELSE -top1_probability END";

const sqlOf = (sort: string) => (sort === "error" ? ERROR : sort);

export function pythonOf(gallery: Gallery): string {
  const where = gallery.condition.value;
  const { sort, descending } = gallery.order.value;
  return [
    "import camscope",
    "",
    `rows = camscope.runs.open(${JSON.stringify(gallery.about.value?.name ?? "run")})`,
    ...(where ? [`rows = rows.where(${JSON.stringify(where)})`] : []),
    ...(sort ? [`rows = rows.sort(${JSON.stringify(sqlOf(sort))}${descending ? ", descending=True" : ""})`] : []),
    "rows.limit(60).sheet()",
  ].join("\n");
}

const shell = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

export function commandOf(gallery: Gallery): string {
  const where = gallery.condition.value;
  const { sort, descending } = gallery.order.value;
  const name = gallery.about.value?.name ?? "run";
  return [
    `camscope browse ${/^[\w./-]+$/.test(name) ? name : shell(name)}`,
    ...(where ? [`--where ${shell(where)}`] : []),
    ...(sort ? [`--sort ${shell(sqlOf(sort))}`] : []),
    ...(descending ? ["--descending"] : []),
    "--save sheet.png",
  ].join(" ");
}
