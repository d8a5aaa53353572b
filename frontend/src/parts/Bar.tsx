/** A share as a bar with its number. */

export const percent = (share: number, digits = 1) => `${(100 * share).toFixed(digits)} %`;

/** What a score or a probability is called. */
export const inWords = (probability: number | null, score: number) =>
  probability === null ? score.toPrecision(3) : percent(probability);

export function Bar({ share, words }: { share: number | null; words: string }) {
  return (
    <span class="bar">
      {share !== null && <i style={{ width: `${100 * Math.min(Math.max(share, 0), 1)}%` }} />}
      <em>{words}</em>
    </span>
  );
}
