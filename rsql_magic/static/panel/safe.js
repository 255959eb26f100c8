// Model output becomes nodes: parsed by marked, sanitised by DOMPurify, never anything else.

import * as marked from "../vendor/marked.umd.js";
import DOMPurify from "../vendor/purify.min.js";

const WORDS = [
  "p",
  "br",
  "hr",
  "strong",
  "em",
  "del",
  "code",
  "pre",
  "ul",
  "ol",
  "li",
  "blockquote",
  "a",
  "sup",
  "sub",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "table",
  "thead",
  "tbody",
  "tr",
  "th",
  "td",
];
const SAFE = {
  words: { ALLOWED_TAGS: WORDS, ALLOWED_ATTR: ["href", "title", "start", "align", "class"] },
  table: {
    ALLOWED_TAGS: [...WORDS, "div", "span", "caption", "tfoot", "i", "b"],
    ALLOWED_ATTR: ["align", "colspan", "rowspan"],
  },
  formula: { USE_PROFILES: { mathMl: true }, FORBID_ATTR: ["href", "style", "class", "id"] },
};
const LINK = /^(?:https?:|mailto:)/i;
export const TURNING = /[\u202a-\u202e\u2066-\u2069]/g; // marks by which text can show something else than it says
const CLASS = /^language-[\w+#.-]{1,24}$/;

const purifier = DOMPurify(window);
purifier.addHook("uponSanitizeAttribute", (_, data) => {
  if (data.attrName === "class" && !CLASS.test(data.attrValue)) data.keepAttr = false;
  if (data.attrName === "href" && !LINK.test(data.attrValue.trim())) data.keepAttr = false;
});
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") Object.assign(node, { target: "_blank", rel: "noopener noreferrer nofollow" });
});

export const clean = (html, kind) =>
  purifier.sanitize(html, { ...SAFE[kind], ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, RETURN_DOM_FRAGMENT: true });

const escaped = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

// A formula goes through the sanitiser as code; `decorate` finds it again.
function formula(name, level, start, pattern) {
  return {
    name,
    level,
    start: (text) => text.search(start),
    tokenizer(text) {
      const match = pattern.exec(text);
      const tex = match && match.slice(1).find((part) => part !== undefined);
      return tex?.trim() ? { type: name, raw: match[0], text: tex } : undefined;
    },
    renderer: ({ type, text }) => {
      const code = `<code class="language-${type}">${escaped(text)}</code>`;
      return type === "tex-block" ? `<p>${code}</p>` : code;
    },
  };
}

export const md = new marked.Marked({ gfm: true, async: false });
md.use({
  extensions: [
    formula("tex-block", "block", /^ {0,3}(?:\$\$|\\\[)/m, /^ {0,3}(?:\$\$([^$]+?)\$\$|\\\[([\s\S]+?)\\\]) *(?:\n|$)/),
    formula(
      "tex-inline",
      "inline",
      /\$|\\[([]/,
      /^(?:\$\$([^$]+?)\$\$|\$(?!\s)((?:\\.|[^$\\\n])+?)(?<!\s)\$(?!\d)|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\])/,
    ),
  ],
  renderer: {
    html: ({ text }) => escaped(text), // a model's HTML is shown, not used
    image: ({ text }) => (text ? `[${escaped(text)}]` : ""), // an image is a request that could carry data away
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});
