// Two texts line by line: what stays, what goes, what comes; and in a line that was changed, which words.

const MOST = 3_000; // half of the differences that are looked for; two texts that have more count as wholly different
const WORD = /\w+|\s+|[^\w\s]/g;

// Lines as `{ sign, text }`, the sign " ", "-" or "+"; changed ones also have `words`, pairs of a text and whether it
// differs.
export function lineDiff(before, after) {
  const lines = inOrder(steps(before.split("\n"), after.split("\n"))).map(([sign, text]) => ({ sign, text }));
  for (let start = 0; start < lines.length; ) {
    const gone = run(lines, start, "-");
    const come = run(lines, start + gone.length, "+");
    gone.slice(0, come.length).forEach((line, place) => mark(line, come[place]));
    start += gone.length + come.length || 1;
  }
  return lines;
}

// What goes before what comes, wherever both stand between two lines that stay.
function inOrder(found) {
  const [ordered, come] = [[], []];
  for (const step of found)
    if (step[0] === "+") come.push(step);
    else ordered.push(...(step[0] === " " ? come.splice(0) : []), step);
  return [...ordered, ...come];
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

// The shortest way from one list to the other, in linear space: E. W. Myers, "An O(ND) Difference Algorithm and Its
// Variations", Algorithmica 1 (1986). What both begin and end with stays; the rest is divided where the ways from both
// ends meet.
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
    ...divided(old, fresh),
    ...before.slice(before.length - tail).map(kept),
  ];
}

function divided(old, fresh) {
  const met = old.length && fresh.length && meeting(old, fresh);
  if (!met) return [...old.map((text) => ["-", text]), ...fresh.map((text) => ["+", text])];
  const [x, y] = met;
  return [...steps(old.slice(0, x), fresh.slice(0, y)), ...steps(old.slice(x), fresh.slice(y))];
}

// Where the shortest ways from both ends meet, as a place in each list; null where they are too long. A place x, y lies
// on the diagonal x - y; of each diagonal the farthest x is known that so many differences lead to.
function meeting(old, fresh) {
  const [n, m] = [old.length, fresh.length];
  const delta = n - m;
  const limit = Math.min(Math.ceil((n + m) / 2), MOST);
  const far = [0, 1].map(() => new Int32Array(2 * limit + 3)); // from the beginning, and from the end
  const zero = limit + 1;
  const same = [(x, y) => old[x] === fresh[y], (x, y) => old[n - 1 - x] === fresh[m - 1 - y]];
  for (let d = 0; d <= limit; d += 1)
    for (const from of [0, 1]) {
      const [here, there] = [far[from], far[1 - from]];
      const [lowest, highest] = [2 * Math.max(0, d - m) - d, d - 2 * Math.max(0, d - n)]; // diagonals within both lists
      const theirs = from ? d : d - 1; // differences that the other way has by now
      for (let k = lowest; k <= highest; k += 2) {
        const [below, above] = [here[zero + k - 1], here[zero + k + 1]];
        let x = k === -d || (k !== d && below < above) ? above : below + 1;
        while (x < n && x - k < m && same[from](x, x - k)) x += 1;
        here[zero + k] = x;
        const other = delta - k;
        const meets = Math.abs(delta) % 2 === 1 - from && Math.abs(other) <= theirs && x + there[zero + other] >= n;
        if (meets) return from ? [n - x, m - x + k] : [x, x - k];
      }
    }
  return null;
}
