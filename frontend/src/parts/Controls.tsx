/** The column of what can be chosen. */

import { photo } from "../state/given";
import { Brush } from "./Brush";
import { Classes } from "./Classes";
import { Drawing } from "./Drawing";
import { Methods } from "./Methods";
import { Models } from "./Models";
import { Places } from "./Places";
import { Share } from "./Share";
import { readsTexts } from "../texts/text";
import { TextControls } from "../texts/TextControls";
import { Trust } from "./Trust";

export function Controls() {
  return (
    <aside class="controls" aria-label="What is shown">
      <Models />
      {readsTexts.value && <TextControls />}
      {photo.value && !readsTexts.value && (
        <>
          <Brush />
          <Places />
          <Classes />
          <Methods />
          <Drawing />
          <Trust />
          <Share />
        </>
      )}
    </aside>
  );
}
