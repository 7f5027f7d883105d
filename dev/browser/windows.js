// Browser windows that note everything a page must not do.

const TIMEOUT_MS = 30_000;

export const SIZE = { width: 1180, height: 760 };

/**
 * Opens a window of a context.
 *
 * @param {import('playwright-core').BrowserContext} context
 * @param {URL} url
 * @param {string[]} faults are added to
 */
export async function open(context, url, faults) {
  context.setDefaultTimeout(TIMEOUT_MS);
  const page = await context.newPage();
  await watch(page, url, faults);
  await page.goto(url.href);
  return page;
}

/** @param {import('playwright-core').Page} page @param {URL} home @param {string[]} faults */
async function watch(page, home, faults) {
  page.on('console', (msg) => {
    if (!['error', 'warning'].includes(msg.type())) return;
    faults.push(`console: ${msg.text()} ${msg.location().url}`);
  });
  page.on('pageerror', (error) => faults.push(`page error: ${error.stack}`));
  page.on('dialog', (dialog) => {
    if (dialog.type() !== 'beforeunload') faults.push(`dialog: ${dialog.message()}`);
    void dialog.accept();
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
