/** The whole page: what stands above, and the explorer. */

import { engine } from "../engine/models";
import { held } from "../engine/opening";
import { TrainingPage } from "../evolve/TrainingPage";
import { openRow } from "../gallery/opening";
import { RunPage } from "../gallery/RunPage";
import { place } from "../places";
import * as given from "../state/given";
import { readsTexts } from "../texts/text";
import { theme, type Theme } from "../theme";
import { Controls } from "./Controls";
import { Notices } from "./Notices";
import { OpenPhotos } from "./OpenPhotos";
import { Photos } from "./Photos";
import { Places } from "./PlaceTabs";
import { Stage } from "./Stage";

export function Page() {
  return (
    <>
      <Head />
      <Notices />
      <Body />
      {held.value && <div class="held">Let go to open the photos.</div>}
    </>
  );
}

function Body() {
  const at = place.value;
  if (at.kind === "run") return <RunPage key={at.id} run={at.id} open={openRow} />;
  if (at.kind === "training") return <TrainingPage key={at.id} id={at.id} name={engine.value?.trainings.find((one) => one.id === at.id)?.name ?? ""} />;
  return <Explorer />;
}

function Head() {
  const view = given.view.value;
  return (
    <header class="head">
      <span class="name">camscope</span>
      <Places />
      {engine.value ? place.value.kind === "photos" && !readsTexts.value && <OpenPhotos /> : <span>{view.title}</span>}
      {view.pages.length > 0 && (
        <nav class="pages" aria-label="Files of this report">
          {view.pages.map((page) => (
            <a key={page.href} href={page.href} aria-current={page.here ? "page" : undefined}>
              {page.first}–{page.last}
            </a>
          ))}
        </nav>
      )}
      <span class="model">
        {place.value.kind === "photos" && view.model}
        {place.value.kind === "photos" && view.untrained && <b class="wrong"> · untrained</b>}
      </span>
      <select
        class="theme"
        aria-label="Light or dark"
        value={theme.value}
        onChange={(event) => (theme.value = event.currentTarget.value as Theme)}
      >
        <option value="system">as the system</option>
        <option value="light">light</option>
        <option value="dark">dark</option>
      </select>
    </header>
  );
}

/** Photos, and what a model looks at in one of them. */
export function Explorer() {
  const { photos, texts } = given.view.value;
  const several = texts ? texts.length > 1 : photos.length > 1 && !readsTexts.value;
  return (
    <div class={several ? "columns" : "columns one-photo"}>
      {several && <Photos />}
      <Stage />
      <Controls />
    </div>
  );
}
