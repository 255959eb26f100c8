import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOutside } from "panel/dom.js";

test("a link that is shared on a hub is the one that browsers find", () => {
  const within = "http://10.0.0.7:8081/services/rsql/shared/abc";
  const of = (origin: string, pathname: string) => ({ origin, pathname });
  assert.equal(addressOutside(within, of("https://hub.edu", "/user/ada/lab")), "https://hub.edu/services/rsql/shared/abc");
  const deeper = within.replace("/services/", "/jh/services/");
  assert.equal(
    addressOutside(deeper, of("https://hub.edu", "/jh/user/ada/lab/tree/services/a.ipynb")),
    "https://hub.edu/jh/services/rsql/shared/abc",
  );
  // A gateway elsewhere, a page that is not a hub's, and the page of an editor.
  for (const [link, at] of [
    ["https://gateway.edu/rsql/shared/abc", of("https://hub.edu", "/user/ada/lab")],
    [deeper, of("https://hub.edu", "/user/ada/lab")],
    [within, of("http://127.0.0.1:8888", "/lab")],
    [within, of("vscode-webview://1f", "/index.html")],
  ] as const)
    assert.equal(addressOutside(link, at), link);
});
