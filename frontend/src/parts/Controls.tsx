/** The column of what can be chosen. */

import { mapToJudge } from "../engine/trusting";
import { photo } from "../state/given";
import { maps } from "../state/shown";
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
  const last = maps.value[maps.value.length - 1];
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
          {last?.photo.id !== undefined && <Trust of={mapToJudge(last)} />}
          <Share />
        </>
      )}
    </aside>
  );
}
