// "Today" is true until midnight.

/** Timers may be a little early. */
const MARGIN_MS = 500;

/** Calls back whenever a day begins where the reader is. @param {() => void} listener @param {AbortSignal} signal ends it */
export function onNewDay(listener, signal) {
  let day = today();
  const look = () => {
    if (today() === day) return;
    day = today();
    listener();
  };
  let timer = 0;
  const plan = () => {
    const now = new Date();
    const next = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1);
    timer = window.setTimeout(
      () => {
        look();
        plan();
      },
      next.getTime() - now.getTime() + MARGIN_MS,
    );
  };
  plan();
  signal.addEventListener('abort', () => clearTimeout(timer));
  // Timers stand still while a machine sleeps.
  document.addEventListener('visibilitychange', look, { signal });
}

const today = () => new Date().toDateString();
