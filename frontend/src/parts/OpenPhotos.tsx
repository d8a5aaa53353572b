/** Picking photos from this machine. */

import { open, sending } from "../engine/opening";

export function OpenPhotos() {
  return (
    <label class="open">
      {sending.value ? "reading …" : "open photos"}
      <input
        type="file"
        accept="image/*"
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
