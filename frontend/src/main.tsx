import { render } from "preact";

import { followAddress } from "./address";
import { listenToKeys } from "./keys";
import { Controls } from "./parts/Controls";
import { Photos } from "./parts/Photos";
import { Stage } from "./parts/Stage";
import * as given from "./state/given";
import { shown } from "./state/shown";
import "./style.css";
import { embedded } from "./view";

function Page() {
  const view = given.view.value;
  return (
    <>
      <header class="head">
        <span class="name">camscope</span>
        <span>{view.title}</span>
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
          {view.model}
          {view.untrained && <b class="wrong"> · untrained</b>}
        </span>
      </header>
      <div class={view.photos.length > 1 ? "columns" : "columns one-photo"}>
        {view.photos.length > 1 && <Photos />}
        <Stage />
        <Controls />
      </div>
    </>
  );
}

const report = embedded();
if (report) {
  given.views.value = [report];
  const first = report.keys[0];
  shown.value = first ? [{ model: 0, method: first.method, layer: first.layer, target: 0 }] : [];
  followAddress();
  listenToKeys();
  document.title = report.title;
  render(<Page />, document.getElementById("page")!);
}
