/** Which rows: what is chosen in words, as one condition in SQL. */

export interface Choice {
  method: string | null;
  layer: string | null;
  target: number | null;
  /** The column whose value is chosen, and that value. */
  by: "label" | "top1";
  of: string | null;
  wrong: boolean;
  failed: boolean;
  /** What somebody wrote. */
  sql: string;
}

export const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** The kind of map: what tells the rows of one photo apart. */
export function kindOf(choice: Choice): string[] {
  if (choice.failed) return ["status = 'failed'"];
  return [
    ...(choice.method === null ? [] : [`method = ${quoted(choice.method)}`]),
    ...(choice.layer === null ? [] : [`layer = ${quoted(choice.layer)}`]),
    ...(choice.target === null ? [] : [`target_number = ${choice.target}`]),
  ];
}

export function conditionOf(choice: Choice): string {
  return [
    ...kindOf(choice),
    ...(choice.wrong ? ["label != top1"] : []),
    ...(choice.of === null ? [] : [`${choice.by} = ${quoted(choice.of)}`]),
    ...(choice.sql.trim() ? [`(${choice.sql.trim()})`] : []),
  ].join(" AND ");
}
