/** Photos that are dropped, pasted or picked. */

import { signal } from "@preact/signals";

import { tell } from "../state/notices";
import * as api from "./api";
import { sentenceOf } from "./client";
import { engine, lookAtNew } from "./models";

/** Whether files are held over the page. */
export const held = signal(false);
export const sending = signal(0);

export async function open(files: File[]): Promise<void> {
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
