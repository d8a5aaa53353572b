/** What Python hands over: photos with their maps, as `camscope.app.view` writes it. */

export type Pair = [number, number];

/** How pixels of the shown picture lie in the model's input: per axis input = pixel · scale + offset, (vertical, horizontal). */
export interface Geometry {
  photo_size: Pair;
  input_size: Pair;
  scale: Pair;
  offset: Pair;
  /** How far beyond its edges the input still knows of the picture, in its own steps: of sounds, whose windows overlap. */
  reach?: Pair;
}

/** What the axes of a sound's picture are; a frequency only where maps tell them apart. */
export interface Axes {
  time: Pair;
  /** Of time: seconds, or steps where a rate is not known. */
  unit: "s" | "steps";
  frequency?: Pair;
  frequency_unit?: string;
}

export interface Scored {
  index: number;
  name: string;
  logit: number;
  probability: number | null;
}

/** Whether evidence against a class is explained: the probability of that class is not its own. */
export const isAgainst = (target: Target): boolean =>
  (target.asked ?? target.spec ?? "").startsWith("not:");

export interface Target {
  /** As the page asked for it, if an engine made it. */
  asked?: string;
  /** Where it stands among what the model says by itself, if an engine made it: 0 is the most likely. */
  rank?: number;
  /** As it is written for `targets=` and `--target`; null where it has no words. */
  spec: string | null;
  title: string;
  index: number | null;
  score: number;
  probability: number | null;
}

/** A raw signed map of one target, at the layer's resolution. */
export interface RawMap {
  method: string;
  layer: string;
  target: number;
  shape: Pair;
  /** float32, little endian, base64. */
  values: string;
  note: string;
  /** Of all that was made with it, if an engine made it. */
  notes?: string[];
}

/** What was explained, whatever it is: what the model says of it, and of what there are maps. */
export interface Entry {
  /** By which the engine knows it; a report has none. */
  id?: string;
  name: string;
  label: string | null;
  /** Whether the top class is another than the label; null where there is no label. */
  wrong: boolean | null;
  top: Scored[];
  targets: Target[];
  notes: string[];
}

export interface Photo extends Entry {
  /** Of the photo as the person has it, (height, width). */
  size: Pair;
  /** A data: address, or one that the engine answers. */
  picture: string;
  geometry: Geometry;
  /** Of a sound, which is shown as a picture. */
  axes?: Axes;
  maps: RawMap[];
}

/** The evidence in each word; null where it is no number. */
export interface WordMap {
  method: string;
  layer: string;
  target: number;
  evidence: (number | null)[];
  note: string;
}

export interface Text extends Entry {
  text: string;
  words: { text: string; glued: boolean }[];
  maps: WordMap[];
}

export interface Method {
  name: string;
  advice: string;
  paper: string;
  /** Whether evidence against is set to zero before a map is shown. */
  rectified: boolean;
}

export interface Layered {
  method: string;
  layer: string;
  /** The lowest and the highest value of all photos' maps. */
  range: Pair;
}

export interface View {
  version: 1;
  title: string;
  model: string;
  /** How the model is named in a command; null where it is an object of the user's own. */
  spec: string | null;
  untrained: boolean;
  methods: Method[];
  /** Every method at a layer, in the order they were explained. */
  keys: Layered[];
  colormaps: { name: string; signed: boolean; table: string }[];
  /** Whether the page stands in a frame of a notebook, and has no address. */
  framed?: boolean;
  photos: Photo[];
  /** Of a report of texts, which has no photos. */
  texts?: Text[];
  notes: string[];
  versions: string;
  /** The files of a report that has several; none of one. Photos are counted from 1. */
  pages: { href: string; first: number; last: number; here: boolean }[];
}

/** What the page holds instead of a view where an engine is behind it, which is asked for all else. */
export interface EngineStart {
  engine: true;
  version: string;
  colormaps: View["colormaps"];
}

/** What there is to look at, whatever it is. */
export const entriesOf = (view: View): Entry[] => view.texts ?? view.photos;

/** What stands in this page: a report's view, or that there is an engine. */
export function embedded(): View | EngineStart | null {
  const element = document.getElementById("camscope-view");
  return element?.textContent ? (JSON.parse(element.textContent) as View | EngineStart) : null;
}

/** Bytes of a base64 text. */
export function bytesOf(text: string): Uint8Array {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Bytes as a base64 text. */
export function textOf(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (value) => String.fromCharCode(value)).join(""));
}

/** The numbers of a raw map. */
export function numbersOf(map: RawMap): Float32Array {
  const bytes = bytesOf(map.values);
  return new Float32Array(bytes.buffer, 0, bytes.byteLength / 4);
}
