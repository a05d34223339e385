// Tests of one file that stand on each other, as what a viewer sees one after another.

import { test } from "node:test";

import { inlet, screenshot } from "./browser.js";

/**
 * A `test` that notes in `failed` that one has failed, for the logs to appear at the end,
 * and keeps what the page that `page` gives looks like and tells of itself.
 */
export function steps(page = () => undefined) {
  const step = (name, body) =>
    test(name, async (context) => {
      try {
        await body(context);
      } catch (error) {
        step.failed = true;
        const shown = page();
        if (shown !== undefined && !shown.isClosed()) {
          await screenshot(shown, `failed ${name}`).catch(() => {});
          const told = await inlet(shown).catch(() => null);
          if (told !== null) console.error(JSON.stringify(told));
        }
        throw error;
      }
    });
  step.failed = false;
  return step;
}
