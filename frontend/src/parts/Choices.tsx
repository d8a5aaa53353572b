/** A row of buttons of which one is chosen. */

export function Choices<T extends string>(props: {
  name: string;
  value: T;
  of: Record<T, string>;
  choose: (value: T) => void;
}) {
  const names = Object.keys(props.of) as T[];
  return (
    <div class="segments" role="group" aria-label={props.name}>
      {names.map((one) => (
        <button key={one} aria-pressed={props.value === one} onClick={() => props.choose(one)}>
          {props.of[one]}
        </button>
      ))}
    </div>
  );
}
