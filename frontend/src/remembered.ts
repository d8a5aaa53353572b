/** A store that keeps what was last asked for, and makes what is not there. */

export function remembered<K, V>(store: Map<K, V>, key: K, most: number, make: () => V): V {
  const known = store.get(key);
  const value = known ?? make();
  store.delete(key);
  store.set(key, value);
  if (store.size > most) store.delete(store.keys().next().value as K);
  return value;
}
