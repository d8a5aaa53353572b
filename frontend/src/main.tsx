import { render } from "preact";

import { followAddress } from "./address";
import { measureWhatIsBrushed } from "./engine/brushing";
import { sentenceOf } from "./engine/client";
import { explainWhatIsShown } from "./engine/explaining";
import { askForFacts } from "./engine/facts";
import { begin, engine, followOtherTabs } from "./engine/models";
import { takeFiles } from "./engine/opening";
import { listenToCells } from "./engine/pointing";
import { searchClasses } from "./engine/searching";
import { followFrame } from "./frame";
import { listenToKeys } from "./keys";
import { Page } from "./parts/Page";
import { go } from "./places";
import * as given from "./state/given";
import { tell } from "./state/notices";
import { shown } from "./state/shown";
import "./style.css";
import "./gallery/gallery.css";
import "./evolve/evolve.css";
import { measureWhatIsLeftOut } from "./texts/leavingOut";
import { readTexts } from "./texts/text";
import "./texts/texts.css";
import { followTheme } from "./theme";
import { embedded, type EngineStart, type View } from "./view";

function showReport(report: View): void {
  given.views.value = [report];
  const first = report.keys[0];
  shown.value = first ? [{ model: 0, method: first.method, layer: first.layer, target: 0 }] : [];
  document.title = report.title;
  if (report.framed) followFrame();
  else followAddress();
}

/** Where nothing else is said: the first run or training, if there is no photo. */
function goToWhatIsThere(): void {
  const { photos, runs, trainings } = engine.value!;
  if (photos.length) return;
  if (runs[0]) go({ kind: "run", id: runs[0].id });
  else if (trainings[0]) go({ kind: "training", id: trainings[0].id });
}

async function startEngine(start: EngineStart): Promise<void> {
  history.replaceState(history.state, "", `${location.pathname}${location.hash}`); // the token stands in a cookie now
  try {
    await begin(start);
  } catch (error) {
    tell(sentenceOf(error));
    return;
  }
  goToWhatIsThere();
  followAddress();
  explainWhatIsShown();
  askForFacts();
  measureWhatIsBrushed();
  listenToCells();
  searchClasses();
  readTexts();
  measureWhatIsLeftOut();
  takeFiles();
  followOtherTabs();
}

const what = embedded();
if (what) {
  followTheme();
  listenToKeys();
  if ("engine" in what) void startEngine(what);
  else showReport(what);
  render(<Page />, document.getElementById("page")!);
}
