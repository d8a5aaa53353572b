/** From a row of a run to its photo in the explorer. */

import { openStored } from "../engine/stored";
import { go } from "../places";
import { galleryOf } from "./gallery";
import { imageView, type Card } from "./rows";

/** Open the photo of a row, with the maps that the run has of it. */
export async function openRow(run: string, card: Card): Promise<void> {
  const name = galleryOf(run).about.value?.name ?? run;
  const wanted = { method: card.method, layer: card.layer, target: card.target_number };
  if (await openStored(run, name, () => imageView(run, card.id), wanted)) go({ kind: "photos" });
}
