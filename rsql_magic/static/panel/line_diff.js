// Two texts line by line: what stays, what goes, what comes; and in a line that was changed, which words.

const MOST = 4_000_000; // cells of a table; two texts that need more count as wholly different
const WORD = /\w+|\s+|[^\w\s]/g;

// Lines as `{ sign, text }`, the sign " ", "-" or "+"; changed ones also have `words`, pairs of a text and whether it
// differs.
export function lineDiff(before, after) {
  const lines = steps(before.split("\n"), after.split("\n")).map(([sign, text]) => ({ sign, text }));
  for (let start = 0; start < lines.length; ) {
    const gone = run(lines, start, "-");
    const come = run(lines, start + gone.length, "+");
    gone.slice(0, come.length).forEach((line, place) => mark(line, come[place]));
    start += gone.length + come.length || 1;
  }
  return lines;
}

const run = (lines, start, sign) => {
  let end = start;
  while (lines[end]?.sign === sign) end += 1;
  return lines.slice(start, end);
};

// Lines that share less than a third of their words are two lines, and not one that was changed.
function mark(gone, come) {
  const [was, is] = [gone.text.match(WORD) ?? [], come.text.match(WORD) ?? []];
  const parts = steps(was, is);
  const same = parts.filter(([sign, text]) => sign === " " && text.trim()).length;
  const most = Math.max(...[was, is].map((words) => words.filter((word) => word.trim()).length));
  if (same * 3 < most) return;
  gone.words = joined(parts.filter(([sign]) => sign !== "+"));
  come.words = joined(parts.filter(([sign]) => sign !== "-"));
}

function joined(parts) {
  const all = [];
  for (const [sign, text] of parts) {
    const last = all.at(-1);
    if (last && last[1] === (sign !== " ")) last[0] += text;
    else all.push([text, sign !== " "]);
  }
  return all;
}

// The shortest way from one list to the other, by their longest common subsequence; what both begin and end with is
// left out of the table.
function steps(before, after) {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head += 1;
  let tail = 0;
  const most = Math.min(before.length, after.length) - head;
  while (tail < most && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  const old = before.slice(head, before.length - tail);
  const fresh = after.slice(head, after.length - tail);
  const kept = (text) => [" ", text];
  return [
    ...before.slice(0, head).map(kept),
    ...between(old, fresh),
    ...before.slice(before.length - tail).map(kept),
  ];
}

function between(old, fresh) {
  const wide = fresh.length + 1;
  if (old.length * wide > MOST) return [...old.map((text) => ["-", text]), ...fresh.map((text) => ["+", text])];
  const common = new Uint32Array((old.length + 1) * wide); // of what is left from each pair of places on
  for (let i = old.length - 1; i >= 0; i -= 1)
    for (let j = fresh.length - 1; j >= 0; j -= 1)
      common[i * wide + j] =
        old[i] === fresh[j]
          ? common[(i + 1) * wide + j + 1] + 1
          : Math.max(common[(i + 1) * wide + j], common[i * wide + j + 1]);
  const found = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    const stays = i < old.length && j < fresh.length && old[i] === fresh[j];
    const goes = j >= fresh.length || (i < old.length && common[(i + 1) * wide + j] >= common[i * wide + j + 1]);
    if (stays) found.push([" ", old[i]]);
    else found.push(goes ? ["-", old[i]] : ["+", fresh[j]]);
    if (stays || goes) i += 1;
    if (stays || !goes) j += 1;
  }
  return found;
}
