/** Where there is no photo yet. */

import { engine } from "../engine/models";
import { sending, what } from "../engine/opening";
import { OpenPhotos } from "./OpenPhotos";

export function DropZone() {
  if (!engine.value) return <main class="stage empty">There is no photo in this report.</main>;
  return (
    <main class="stage empty">
      <div class="drop">
        <h1>{what.value === "sounds" ? "Drop a sound here" : "Drop a photo here"}</h1>
        <p class="quiet">{what.value === "sounds" ? "a .wav file, or" : "or paste one, or"}</p>
        <OpenPhotos />
        <p class="quiet">{sending.value ? "It is being read …" : "It stays on this machine."}</p>
      </div>
    </main>
  );
}
