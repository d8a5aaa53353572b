/** Picking photos from this machine. */

import { open, sending, what } from "../engine/opening";

export function OpenPhotos() {
  return (
    <label class="open">
      {sending.value ? "reading …" : `open ${what.value}`}
      <input
        type="file"
        accept="image/*,.wav"
        multiple
        onChange={(event) => {
          const files = [...(event.currentTarget.files ?? [])];
          event.currentTarget.value = ""; // the same one can be picked again
          void open(files);
        }}
      />
    </label>
  );
}
