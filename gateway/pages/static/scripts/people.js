// How a participant looks everywhere: one of eight tones, by order of appearance, and initials.

const tones = new Map();

/** Return the class of a participant's tone. */
export function tone(participantId) {
  if (!tones.has(participantId)) tones.set(participantId, tones.size % 8);
  return `tone-${tones.get(participantId)}`;
}

/** Return at most two letters for a name. */
export function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)].map((word) => [...word][0]) : [...(words[0] ?? "?")].slice(0, 1);
  return letters.join("").toUpperCase();
}
