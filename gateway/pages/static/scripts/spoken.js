// The words of a line with the times at which they were said. Places in a text are counted in code points.

/** Return the line's words as [{from, to, start, end}]; times that nobody measured are shared out by length. */
export function spokenWords(segment) {
  const letters = [...segment.text];
  const found = segment.words?.length ? measured(segment, letters) : [];
  return found.length ? found : guessed(segment, letters);
}

function measured(segment, letters) {
  const words = [];
  let place = 0;
  for (const word of segment.words) {
    const wanted = [...word.text.trim()];
    const from = wanted.length ? find(letters, wanted, place) : -1;
    if (from < 0) continue; // the text was cleaned of it
    place = from + wanted.length;
    words.push({ from, to: place, start: word.start_ms, end: word.end_ms });
  }
  return words;
}

function find(letters, wanted, place) {
  for (let from = place; from + wanted.length <= letters.length; from += 1) {
    if (wanted.every((letter, index) => letters[from + index] === letter)) return from;
  }
  return -1;
}

function guessed(segment, letters) {
  const words = [];
  const pace = (segment.end_ms - segment.start_ms) / Math.max(1, letters.length);
  const time = (place) => Math.round(segment.start_ms + pace * place);
  for (let from = 0; from < letters.length; ) {
    let to = from;
    while (to < letters.length && !/\s/.test(letters[to])) to += 1;
    if (to > from) words.push({ from, to, start: time(from), end: time(to) });
    from = to + 1;
  }
  return words;
}

/** Return a text in pieces [{text, word, marked}] that are cut at every word's edges and at the mark's; `word` is an
 *  index, -1 between words. */
export function pieces(text, words, mark = { from: 0, to: 0 }) {
  const letters = [...text];
  const cuts = new Set([0, letters.length, mark.from, mark.to, ...words.flatMap((word) => [word.from, word.to])]);
  const places = [...cuts].filter((place) => place >= 0 && place <= letters.length).sort((one, other) => one - other);
  const cut = [];
  let index = 0;
  for (let number = 0; number + 1 < places.length; number += 1) {
    const [from, to] = [places[number], places[number + 1]];
    while (index < words.length && words[index].to <= from) index += 1;
    const word = index < words.length && words[index].from <= from ? index : -1;
    cut.push({ text: letters.slice(from, to).join(""), word, marked: from >= mark.from && to <= mark.to });
  }
  return cut;
}
