/** Photos that are dropped, pasted or picked. */

import { batch, computed, signal } from "@preact/signals";

import { tell } from "../state/notices";
import { show } from "../state/shown";
import { write } from "../texts/leavingOut";
import { readsTexts } from "../texts/text";
import * as api from "./api";
import { sentenceOf } from "./client";
import { engine, lookAtNew, model } from "./models";

/** Whether files are held over the page. */
export const held = signal(false);
export const sending = signal(0);
/** What is opened: whatever the chosen model takes. */
export const what = computed(() => (model.value?.kind === "sounds" ? "sounds" : "photos"));

const isText = (file: File) => file.type.startsWith("text/plain") || /\.txt$/i.test(file.name);

/** Letters of a text that is read at most: the engine takes no more. */
const LONGEST = 100_000;

/** Read a text that was dropped, by the chosen model or the first one that reads texts. */
async function openText(file: File): Promise<void> {
  const models = engine.value?.models ?? [];
  const reads = models.findIndex((one) => one.kind === "texts");
  if (reads < 0) {
    tell(`${file.name} is a text, and no model here reads texts: camscope app --model hf:NAME starts with one.`);
    return;
  }
  const words = await file.text();
  if (words.length > LONGEST) tell(`Of ${file.name} the first ${LONGEST.toLocaleString("en")} letters are read.`);
  batch(() => {
    if (!readsTexts.value) show({ model: reads, method: "", layer: "", target: 0 }, false);
    write(words.slice(0, LONGEST));
  });
}

export async function open(given: File[]): Promise<void> {
  const files = given.filter((file) => !isText(file));
  const [text] = given.filter(isText);
  if (text) await openText(text);
  if (!files.length) return;
  const limits = engine.value?.limits;
  if (limits && files.length > limits.photos) {
    tell(`These are ${files.length} files, and at most ${limits.photos} are taken at once. Start camscope app with the folder to look at more.`);
    return;
  }
  sending.value += files.length;
  try {
    const { photos, failed } = await api.upload(files);
    lookAtNew(photos);
    for (const one of failed) tell(one.error.includes(one.name) ? one.error : `${one.name}: ${one.error}`);
  } catch (error) {
    tell(sentenceOf(error));
  } finally {
    sending.value -= files.length;
  }
}

const filesOf = (data: DataTransfer | null) => [...(data?.files ?? [])];
const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;

/** Take what is dropped or pasted anywhere on the page. */
export function takeFiles(): void {
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    held.value = true;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) held.value = false;
  });
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    held.value = false;
    void open(filesOf(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const files = filesOf(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    void open(files);
  });
}
