/** What is shown, as files: pictures, raw maps, and the report. */

import * as api from "../engine/api";
import { sentenceOf } from "../engine/client";
import { photo as chosenPhoto, view as chosenView } from "../state/given";
import { tell } from "../state/notices";
import { maps as shownMaps, swipe } from "../state/shown";
import { numbersOf, type Photo, type View } from "../view";
import { pngOf, svgOf, type Figure, type Panel } from "./figure";
import { npz } from "./npz";

export function download(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

const stem = () => (chosenPhoto.value?.name ?? "photo").replace(/[\\/:]/g, "-").replace(/\.\w+$/, "");

/** The panes as they stand in the page. */
function figure(): Figure | null {
  const panels = [...document.querySelectorAll<HTMLElement>(".pane")].flatMap((pane): Panel[] => {
    const photo = pane.querySelector<HTMLImageElement>(".moved img");
    const layers = [...pane.querySelectorAll<HTMLCanvasElement>(".moved canvas:not(.brushed)")];
    if (!photo?.naturalWidth || !layers[0]) return [];
    const split = layers.length > 1 ? swipe.value : 1;
    return [
      {
        title: pane.querySelector("figcaption strong")?.textContent ?? "",
        detail: pane.querySelector("figcaption span")?.textContent ?? "",
        photo,
        width: photo.naturalWidth,
        height: photo.naturalHeight,
        layers: layers.map((canvas, part) => ({ canvas, from: part ? split : 0, to: part ? 1 : split })),
      },
    ];
  });
  const key = document.querySelector<HTMLElement>(".legend");
  const colours = key?.querySelector("canvas");
  const [low, high] = [...(key?.querySelectorAll("span") ?? [])].map((one) => one.textContent ?? "");
  if (!panels.length) return null;
  return { panels, legend: colours ? { low: low ?? "", high: high ?? "", colours } : null };
}

export async function savePng(): Promise<void> {
  const drawn = figure();
  const blob = drawn && (await pngOf(drawn));
  if (blob) download(`${stem()}-maps.png`, blob);
}

export function saveSvg(): void {
  const drawn = figure();
  if (drawn) download(`${stem()}-maps.svg`, svgOf(drawn));
}

function described() {
  return shownMaps.value.map(({ map, target, view, photo }) => ({
    model: view.model,
    method: map.method,
    layer: map.layer,
    target,
    shape: map.shape,
    geometry: photo.geometry,
    values: numbersOf(map),
  }));
}

/** The raw maps that are shown, and what they are of. */
export function saveJson(): void {
  const maps = described().map((one) => ({ ...one, values: [...one.values] }));
  const text = JSON.stringify({ photo: chosenPhoto.value?.name, maps }, null, 1);
  download(`${stem()}-maps.json`, new Blob([text], { type: "application/json" }));
}

/** The raw maps that are shown, by names that say what they are of. */
export function saveNpz(): void {
  const all = described();
  const models = new Set(all.map((one) => one.model));
  const arrays = all.map((one) => ({
    name: [...(models.size > 1 ? [one.model] : []), one.method, one.layer, one.target?.title ?? ""].join("|").replace(/[\\/]/g, "-"),
    shape: one.shape,
    values: one.values,
  }));
  download(`${stem()}-maps.npz`, npz(arrays));
}

const REPORT_SIDE = 640;

/** All photos that were explained by this model, as a page that opens offline. */
export async function saveReport(): Promise<void> {
  try {
    const view = chosenView.value;
    const explained = view.photos.filter((photo) => photo.maps.length);
    const photos = await Promise.all(explained.map(withPicture));
    const document: View = { ...view, title: `Where ${view.model} looks`, photos };
    download(`${photos.length > 1 ? "photos" : stem()}-report.html`, await api.report(document));
  } catch (error) {
    tell(sentenceOf(error));
  }
}

async function withPicture({ id, ...photo }: Photo): Promise<Photo> {
  if (id === undefined || photo.picture.startsWith("data:")) return photo; // of a sound it is that of the model
  const response = await fetch(api.pictureOf(id, REPORT_SIDE));
  const blob = await response.blob();
  return { ...photo, picture: await addressOf(blob) };
}

const addressOf = (blob: Blob) =>
  new Promise<string>((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result as string);
    reader.readAsDataURL(blob);
  });
