/** What is shown, as files. */

import { photo as chosenPhoto } from "./state/given";
import { maps as shownMaps, swipe } from "./state/shown";
import { numbersOf } from "./view";

function download(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

const stem = () => (chosenPhoto.value?.name ?? "photo").replace(/\.\w+$/, "");

/** The panes as one picture, at the size of the photo that is in the page. */
export function savePicture(): void {
  const panes = [...document.querySelectorAll<HTMLElement>(".pane .moved")];
  const photo = panes[0]?.querySelector("img");
  if (!photo) return;
  const gap = 8;
  const [width, height] = [photo.naturalWidth, photo.naturalHeight];
  const canvas = document.createElement("canvas");
  canvas.width = panes.length * (width + gap) - gap;
  canvas.height = height;
  const context = canvas.getContext("2d")!;
  panes.forEach((pane, number) => {
    const left = number * (width + gap);
    context.drawImage(photo, left, 0, width, height);
    pane.querySelectorAll("canvas").forEach((layer, part) => {
      const split = pane.querySelectorAll("canvas").length > 1 ? swipe.value : 1;
      const [from, to] = part === 0 ? [0, split] : [split, 1];
      context.save();
      context.beginPath();
      context.rect(left + from * width, 0, (to - from) * width, height);
      context.clip();
      context.drawImage(layer, left, 0, width, height);
      context.restore();
    });
  });
  canvas.toBlob((blob) => blob && download(`${stem()}-maps.png`, blob));
}

/** The raw maps that are shown, and what they are of. */
export function saveMaps(): void {
  const photo = chosenPhoto.value;
  if (!photo) return;
  const maps = shownMaps.value.map(({ map, target, view }) => ({
    model: view.model,
    method: map.method,
    layer: map.layer,
    target,
    shape: map.shape,
    values: [...numbersOf(map)],
  }));
  const document = { photo: photo.name, geometry: photo.geometry, maps };
  download(`${stem()}-maps.json`, new Blob([JSON.stringify(document, null, 1)], { type: "application/json" }));
}
