// Browser windows that note everything a page must not do.

const TIMEOUT_MS = 15_000;

/** What each page must not do, said by the browser. @type {string[]} */
export const faults = [];

/**
 * Opens a window of its own: no cookie, storage or cache is shared with another.
 *
 * @param {import('playwright-core').Browser} browser
 * @param {string} url
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1180, height: 760 },
    ...options,
  });
  context.setDefaultTimeout(TIMEOUT_MS);
  const page = await context.newPage();
  await watch(page, new URL(url));
  await page.goto(url);
  return page;
}

/** @param {import('playwright-core').Page} page @param {URL} home */
async function watch(page, home) {
  page.on('console', (msg) => {
    if (['error', 'warning'].includes(msg.type())) faults.push(`console: ${msg.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`page error: ${error.message}`));
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  const isForeign = (/** @type {string} */ url) => {
    const { protocol, host } = new URL(url);
    return protocol !== 'data:' && host !== home.host;
  };
  page.on('request', (request) => {
    if (isForeign(request.url())) faults.push(`request to ${request.url()}`);
  });
  page.on('websocket', (socket) => {
    if (isForeign(socket.url())) faults.push(`socket to ${socket.url()}`);
  });
  await page.exposeFunction('noteViolation', (/** @type {string} */ text) => {
    faults.push(`content security policy: ${text}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      const { violatedDirective, blockedURI } = event;
      /** @type {any} */ (window).noteViolation(`${violatedDirective} ${blockedURI}`);
    });
  });
}
