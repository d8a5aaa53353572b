/** What was refused, until it is put away. */

import { notices, putAway } from "../state/notices";

export function Notices() {
  return (
    <div class="notices" role="alert">
      {notices.value.map((sentence) => (
        <p key={sentence}>
          <span>{sentence}</span>
          <button class="remove" aria-label="put this away" onClick={() => putAway(sentence)}>
            ×
          </button>
        </p>
      ))}
    </div>
  );
}
