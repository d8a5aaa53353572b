/** What the engine answers of one photo, put into the view that the page holds. */

import type { Layered, Pair, Photo, RawMap, Target, View } from "../view";

/**
 * A view with one more answer in it.
 *
 * @param view what is there.
 * @param number the position of the answer's photo in it.
 * @param answer a view of that one photo.
 * @param asked the targets as they were asked for, in the answer's order; empty for the top classes.
 */
export function merged(view: View, number: number, answer: View, asked: string[]): View {
  const photos = [...view.photos];
  const [photo] = answer.photos;
  if (photo) photos[number] = mergedPhoto(photos[number]!, photo, asked, answer.notes);
  return {
    ...view,
    model: answer.model,
    untrained: answer.untrained,
    versions: answer.versions,
    methods: unionBy(view.methods, answer.methods, (one) => one.name),
    keys: mergedKeys(view.keys, answer.keys),
    photos,
  };
}

function mergedPhoto(before: Photo, photo: Photo, asked: string[], notes: string[]): Photo {
  const targets: Target[] = [...before.targets];
  const places = photo.targets.map((target, i) => {
    const named = asked.length ? { ...target, asked: asked[i]! } : { ...target, rank: i };
    const at = targets.findIndex((other) => isSame(other, named));
    if (at < 0) return targets.push(named) - 1;
    targets[at] = { ...targets[at]!, ...named };
    return at;
  });
  const maps = photo.maps.map((map) => ({ ...map, target: places[map.target]!, notes }));
  return {
    ...before,
    geometry: photo.geometry,
    size: photo.size,
    ...(photo.axes ? { axes: photo.axes, picture: photo.picture } : {}),
    top: photo.top.length ? photo.top : before.top,
    targets,
    maps: unionBy(before.maps, maps, keyOf),
    notes: [...new Set([...before.notes, ...photo.notes])],
  };
}

const keyOf = (map: RawMap) => `${map.target} ${map.method} ${map.layer}`;

const isSame = (a: Target, b: Target) =>
  a.spec !== null && b.spec !== null ? a.spec === b.spec : a.asked !== undefined && a.asked === b.asked;

function mergedKeys(before: Layered[], now: Layered[]): Layered[] {
  const widened = now.map((key) => {
    const known = before.find((one) => one.method === key.method && one.layer === key.layer);
    if (!known) return key;
    const range: Pair = [Math.min(known.range[0], key.range[0]), Math.max(known.range[1], key.range[1])];
    return { ...key, range };
  });
  return unionBy(before, widened, (key) => `${key.method} ${key.layer}`);
}

/** Both lists; what is in both is that of the second, at the place of the first. */
function unionBy<T>(before: T[], now: T[], keyOf: (one: T) => string): T[] {
  const all = new Map(before.map((one) => [keyOf(one), one]));
  for (const one of now) all.set(keyOf(one), one);
  return [...all.values()];
}
